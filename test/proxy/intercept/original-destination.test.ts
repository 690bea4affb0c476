/** What the kernel tells, read; and what it tells of a connection that nobody redirected. */

import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { openOriginalDestination, parseSocketAddress } from "../../../src/proxy/intercept/original-destination.ts";
import { authorityOf, canonicalHost } from "../../../src/proxy/io/address.ts";

test.each([
  // Family AF_INET in host order, port and address in network order, padding.
  ["0200 1538 0a4d0009 0000000000000000", { host: "10.77.0.9", port: 5432 }],
  ["0200 ffff ffffffff 0000000000000000", { host: "255.255.255.255", port: 65_535 }],
  // AF_INET6, port, flow label, address, scope.
  ["0a00 1f90 00000000 fd770000000000000000000000000009 00000000", { host: "fd77::9", port: 8080 }],
  ["0a00 0050 00000000 00000000000000000000000000000001 00000000", { host: "::1", port: 80 }],
  ["0a00 0050 00000000 20010db8000000010000000000000000 00000000", { host: "2001:db8:0:1::", port: 80 }],
  ["0a00 0050", undefined],
])("%s", (hex, expected) => {
  expect(parseSocketAddress(Buffer.from(hex.replaceAll(" ", ""), "hex"))).toEqual(expected);
});

test.each([
  ["FD77:0:0::9", "fd77::9"],
  ["fd77:0000::0009", "fd77::9"],
  ["10.0.0.1", "10.0.0.1"],
  ["Catalog.Example", "catalog.example"],
  ["not:an:address", "not:an:address"],
])("%s has one spelling", (given, expected) => {
  expect(canonicalHost(given)).toBe(expected);
});

test("IPv6 stands in brackets before a port", () => {
  expect(
    [
      { host: "fd77::9", port: 80 },
      { host: "10.0.0.1", port: 80 },
    ].map(authorityOf),
  ).toEqual(["[fd77::9]:80", "10.0.0.1:80"]);
});

test.skipIf(process.platform !== "linux")(
  "a connection that came to where it wanted to go was not redirected",
  async () => {
    const originalDestination = await openOriginalDestination();
    for (const hostname of ["127.0.0.1", "::1"]) {
      const opened = Promise.withResolvers<Socket<undefined>>();
      const listener = Bun.listen({ hostname, port: 0, socket: { data() {}, open: opened.resolve } });
      const client = await Bun.connect({ hostname, port: listener.port, socket: { data() {} } });
      expect(originalDestination(await opened.promise)).toBeUndefined();
      client.end();
      listener.stop(true);
    }
  },
);

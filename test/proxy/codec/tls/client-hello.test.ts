/** The server name of a ClientHello: what OpenSSL and BoringSSL send, in any number of pieces, and what nobody should. */

import { describe, expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { beginsTls, readClientHello } from "../../../../src/proxy/codec/tls/client-hello.ts";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import {
  extension,
  helloMessage as message,
  nameEntry,
  record,
  serverName,
  vector,
} from "../../../support/client-hello.ts";

const MAX = DEFAULT_LIMITS.clientHelloBytesMax;

const HELLO = message([extension(0x2b, Uint8Array.of(2, 3, 4)), serverName(nameEntry("DB.shop"))]);
const read = (bytes: Uint8Array) => readClientHello(bytes, MAX);

/** What the runtime's own TLS sends first. */
async function realHello(name: string): Promise<Buffer> {
  const first = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => void socket.on("error", () => {}).once("data", first.resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const client = connectTls({ socket: connect(port, "127.0.0.1"), servername: name }).on("error", () => {});
  const hello = await first.promise;
  client.destroy();
  server.close();
  return hello;
}

test("a real client's", async () => {
  expect(read(await realHello("catalog.shop"))).toEqual({ kind: "hello", serverName: "catalog.shop" });
});

test("in any number of records and reads, and not before all of it is there (RFC 8446 §5.1)", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: HELLO.length - 1 }), { maxLength: 6 }), (cuts) => {
      const at = [...new Set([0, ...cuts, HELLO.length])].sort((a, b) => a - b);
      const records = Buffer.concat(at.slice(1).map((end, index) => record(HELLO.subarray(at[index], end))));
      for (let length = 0; length < records.length; length++) {
        expect(read(records.subarray(0, length))).toEqual({ kind: "more" });
      }
      expect(read(records)).toEqual({ kind: "hello", serverName: "db.shop" });
      // What follows in the same read is not looked at.
      expect(read(Buffer.concat([records, record(Buffer.alloc(9))]))).toMatchObject({ serverName: "db.shop" });
    }),
    { numRuns: 30 },
  );
});

describe("a hello without a name that could be a host's", () => {
  test.each([
    ["no extensions at all (TLS 1.2)", undefined],
    ["no server_name", [extension(0x2b, Uint8Array.of(2, 3, 4))]],
    ["an address", [serverName(nameEntry("[::1]"))]],
    ["a trailing dot (RFC 6066 §3)", [serverName(nameEntry("db.shop."))]],
    ["an empty label", [serverName(nameEntry("db..shop"))]],
    ["a port", [serverName(nameEntry("db.shop:443"))]],
    ["a line break", [serverName(nameEntry("db\r\nx"))]],
    ["NUL", [serverName(nameEntry("db\0.shop"))]],
    ["bytes above ASCII", [serverName(nameEntry("d\xfcb"))]],
    ["more than a DNS name may have", [serverName(nameEntry("a".repeat(254)))]],
    ["nothing", [serverName(nameEntry(""))]],
  ])("%s", (_, extensions) => {
    expect(read(record(message(extensions)))).toEqual({ kind: "hello", serverName: undefined });
  });
});

describe("what no server could read is invalid", () => {
  const broken = Buffer.from(message([serverName(nameEntry("db"))]));
  // The length of the extensions' vector says more than there is.
  broken.writeUInt16BE(0xff, 4 + 34 + 33 + 4 + 2);
  test.each([
    ["two server_name extensions", record(message([serverName(nameEntry("a")), serverName(nameEntry("b"))]))],
    ["two names", record(message([serverName(nameEntry("a"), nameEntry("b"))]))],
    ["a name of another type", record(message([serverName(nameEntry("a", 1))]))],
    ["an empty list of names", record(message([extension(0, vector(2, new Uint8Array(0)))]))],
    ["an empty extension, which is a server's", record(message([extension(0, new Uint8Array(0))]))],
    ["a vector that is longer than its content", record(broken)],
    ["another handshake message", record(Uint8Array.of(2, 0, 0, 1, 0))],
    ["an empty record", Buffer.concat([record(HELLO.subarray(0, 9)), record(new Uint8Array(0))])],
    ["a record of another kind in between", Buffer.concat([record(HELLO.subarray(0, 9)), Uint8Array.of(23, 3, 3)])],
    ["a record above 16 KiB", Uint8Array.of(22, 3, 1, 0x40, 0x01)],
    ["SSL 2", Uint8Array.of(0x80, 0x2e, 1, 3, 1)],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
    ["a hello above the bound", record(Uint8Array.of(1, 0, (MAX >> 8) + 1, 0))],
  ])("%s", (_, bytes) => {
    expect(read(bytes)).toEqual({ kind: "invalid" });
  });
});

test("no bytes whatsoever are more than a bounded wait, and none are misread", () => {
  const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Uint8Array.of(22, 3), bytes]));
  const bent = fc
    .tuple(fc.nat(HELLO.length - 1), fc.nat(255))
    .map(([at, value]) => record(Buffer.from(HELLO.map((byte, index) => (index === at ? value : byte)))));
  fc.assert(
    fc.property(fc.oneof(noise, bent), (bytes) => {
      const result = read(bytes);
      if (result.kind === "hello" && result.serverName !== undefined)
        expect(result.serverName).toMatch(/^[a-z0-9._-]+$/);
      expect(beginsTls(bytes)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

/** The rules as text. What the kernel makes of them, `interception.test.ts` shows. */

import { describe, expect, test } from "bun:test";
import { type InterceptionRules, installScript, isNetwork, removeScript } from "../../../src/proxy/intercept/rules.ts";

const RULES: InterceptionRules = {
  sidecarUser: 1337,
  inboundPort: 15_006,
  outboundPort: 15_001,
  inboundPorts: undefined,
  excludedPorts: [4222, 22],
  excludedNetworks: ["10.9.0.0/16", "fd00:9::/32", "192.0.2.1"],
};

const PRISTINE = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -p tcp -m comment --comment "not HEDDLE_OUTBOUND" -j DOCKER
COMMIT
`;

/** As iptables-save writes it once the rules are there, with a chain of another version. */
const INSTALLED = `*nat
:PREROUTING ACCEPT [12:720]
:OUTPUT ACCEPT [3:180]
:DOCKER - [0:0]
:HEDDLE_INBOUND - [0:0]
:HEDDLE_OLD - [0:0]
:HEDDLE_OUTBOUND - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -p tcp -m addrtype --dst-type LOCAL -j HEDDLE_INBOUND
-A OUTPUT -p tcp -j HEDDLE_OUTBOUND
-A OUTPUT -p tcp -j HEDDLE_OLD
-A HEDDLE_INBOUND -i lo -j RETURN
-A HEDDLE_OUTBOUND -p tcp -j HEDDLE_OLD
COMMIT
`;

test("a first installation leaves what is there alone", async () => {
  for (const family of ["ipv4", "ipv6"] as const) {
    const golden = await Bun.file(`${import.meta.dir}/golden/install-${family}.rules`).text();
    expect(installScript(RULES, family, PRISTINE)).toBe(golden);
    expect(installScript(RULES, family, "")).toBe(golden);
  }
});

test("another takes the place of what is there in the same transaction", async () => {
  const golden = await Bun.file(`${import.meta.dir}/golden/replace-ipv4.rules`).text();
  expect(installScript({ ...RULES, inboundPorts: [9090, 8080, 8080] }, "ipv4", INSTALLED)).toBe(golden);
});

describe("removal", () => {
  test("has nothing to do where nothing is there", () => {
    expect(removeScript(PRISTINE)).toBeUndefined();
    expect(removeScript("")).toBeUndefined();
  });

  test("takes away the jumps of others into our chains, then the chains", () => {
    expect(removeScript(INSTALLED)).toBe(`*nat
-D PREROUTING -p tcp -m addrtype --dst-type LOCAL -j HEDDLE_INBOUND
-D OUTPUT -p tcp -j HEDDLE_OUTBOUND
-D OUTPUT -p tcp -j HEDDLE_OLD
-F HEDDLE_INBOUND
-F HEDDLE_OLD
-F HEDDLE_OUTBOUND
-X HEDDLE_INBOUND
-X HEDDLE_OLD
-X HEDDLE_OUTBOUND
COMMIT
`);
  });
});

test("the sidecar's own connections are left alone before any other rule is asked", () => {
  const outbound = installScript(RULES, "ipv4", "")
    .split("\n")
    .filter((line) => line.startsWith("-A HEDDLE_OUTBOUND"));
  expect(outbound[0]).toBe("-A HEDDLE_OUTBOUND -m owner --uid-owner 1337 -j RETURN");
});

test.each([
  ["10.0.0.0/8", true],
  ["10.0.0.1", true],
  ["fd00::/8", true],
  ["fd00::1", true],
  ["0.0.0.0/0", true],
  ["10.0.0.0/33", false],
  ["fd00::/129", false],
  ["10.0.0.0/", false],
  ["10.0.0.0/8/8", false],
  ["10.0.0/8", false],
  ["fe80::1%eth0", false],
  ["10.0.0.0/8 -j ACCEPT", false],
  ["10.0.0.0/-1", false],
  ["example.com", false],
  ["", false],
])("%p is a network: %p", (text, expected) => {
  expect(isNetwork(text)).toBe(expected);
});

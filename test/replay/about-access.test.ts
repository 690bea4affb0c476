/** Which changes answer "who changed access to payment", besides those of access policies. */

import { expect, test } from "bun:test";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { changeIndex, mayHold } from "../../src/replay/change-index.ts";
import { historyEntry } from "../../src/replay/history.ts";
import { changeAfter } from "../events/scenario.ts";

const PAYMENT = { namespace: "shop", name: "payment" } as const;
const PORT = { port: 8080, protocol: "http" } as const;
const TOKENS = {
  providers: [{ issuer: "https://login.example", audiences: ["shop"], jwksUri: "https://login.example/k" }],
};

const cases: [title: string, event: DomainEvent, isAccess: boolean][] = [
  ["mutual TLS of a service", { type: "ServiceMtlsSet", ...PAYMENT, to: "permissive" }, true],
  ["tokens that a service asks for", { type: "JwtValidationSet", ...PAYMENT, to: TOKENS }, true],
  [
    "mutual TLS of a port",
    { type: "ServicePortsSet", ...PAYMENT, from: [PORT], to: [{ ...PORT, mtls: "disabled" }] },
    true,
  ],
  ["another port", { type: "ServicePortsSet", ...PAYMENT, from: [PORT], to: [{ ...PORT, port: 80 }] }, false],
  [
    "a service that asks for less",
    { type: "ServiceDeclared", ...PAYMENT, spec: { ports: [PORT], mtls: "disabled" } },
    true,
  ],
  ["a service as the mesh says", { type: "ServiceDeclared", ...PAYMENT, spec: { ports: [PORT] } }, false],
  ["another trust domain", { type: "FederationTrusted", trustDomain: "partner.example", roots: ["a"] }, true],
  ["the end of another trust domain", { type: "FederationEnded", trustDomain: "partner.example" }, true],
  ["a service's balancing", { type: "LoadBalancerSet", ...PAYMENT, to: { algorithm: "random" } }, false],
  ["the life of certificates", { type: "CertificateTtlDefaultSet", to: "1h" }, false],
];

test.each(cases)("%s", (_title, event, isAccess) => {
  const recorded = changeAfter(INITIAL_STATE, "namespace" in event ? "shop" : "_mesh", [event]);
  const filter = { accessOnly: true, destination: "shop/payment" } as const;
  expect(historyEntry(recorded, filter) !== undefined).toBe(isAccess);
  // The index of a long ledger passes over nothing that would be told.
  const { initial, evolve } = changeIndex();
  if (isAccess) expect(mayHold(evolve(initial, recorded), filter)).toBe(true);
});

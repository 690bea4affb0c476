import { describe, expect, test } from "bun:test";
import type { Finding } from "../../src/cli/output/finding.ts";
import type { HealthFacts } from "../../src/cli/output/health-facts.ts";
import { healthReport } from "../../src/cli/output/health-report.ts";
import { weakMtls } from "../../src/cli/output/weak-mtls.ts";
import type { CheckReply, StatusReply } from "../../src/control/protocol.ts";
import { foldChange } from "../../src/events/evolve.ts";
import type { MeshState } from "../../src/events/state.ts";
import { changeAfter, document, given, service } from "../events/scenario.ts";

const NOW_MS = Date.parse("2026-11-21T12:00:00Z");
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const at = (ms: number): string => new Date(NOW_MS + ms).toISOString();

type Instance = StatusReply["instances"][number];

function instance(status: Partial<Instance["status"]> = {}, connected = true): Instance {
  return {
    silentMs: 0,
    connected,
    status: {
      instance: "web-1",
      namespace: "shop",
      service: "web",
      state: "ready",
      host: "10.0.0.1",
      port: 15006,
      labels: {},
      revision: 2,
      certificateExpiry: at(DAY_MS),
      startedAt: at(-DAY_MS),
      version: "1.0.0",
      ...status,
    },
  };
}

function stateOf(events: Parameters<typeof changeAfter>[2] = []): MeshState {
  const base = given(service("shop/web"));
  const ada = { name: "ada", publicKey: "UADA", role: "admin", namespaces: [] } as const;
  const added = { type: "OperatorAdded", ...ada, namespaces: [] as string[] } as const;
  return foldChange(base, changeAfter(base, "_mesh", [added, ...events]));
}

const replica = { id: "r1", version: "1.0.0", revision: 2, startedAt: at(-DAY_MS), skewMs: 0 };
const control = {
  askedMs: NOW_MS - 30_000,
  answeredMs: NOW_MS,
  check: {
    timeMs: NOW_MS,
    replicas: [replica],
    rootNotAfterMs: NOW_MS + 900 * DAY_MS,
    issuerNotAfterMs: NOW_MS + 300 * DAY_MS,
  },
  status: {
    revision: 2,
    services: [{ namespace: "shop", name: "web", expectedRevision: 2 }],
    notEnforced: [],
    instances: [instance()],
  } satisfies StatusReply,
};

/** A mesh with which nothing is wrong. */
const WELL: HealthFacts = {
  nowMs: NOW_MS,
  version: "1.0.0",
  nats: {
    urls: ["tls://mesh.internal:4222"],
    facts: { serverVersion: "2.9.10", isEncrypted: true, roundTripMs: 1 },
    certificateEndMs: NOW_MS + 90 * DAY_MS,
    letsAnybodyIn: false,
    hearsCommands: false,
  },
  operator: { name: "ada", publicKey: "UADA" },
  ledgerRevision: 2,
  lastChangeMs: NOW_MS - DAY_MS,
  state: stateOf(),
  strangers: undefined,
  control,
};

const nats = (change: Partial<HealthFacts["nats"]>): HealthFacts => ({ ...WELL, nats: { ...WELL.nats, ...change } });
const checked = (change: Partial<CheckReply>): HealthFacts => {
  return { ...WELL, control: { ...control, check: { ...control.check, ...change } } };
};
const status = (change: Partial<StatusReply>): HealthFacts => {
  return { ...WELL, control: { ...control, status: { ...control.status, ...change } } };
};
const instances = (...list: Instance[]): HealthFacts => status({ instances: list });
const facts = (change: Partial<HealthFacts["nats"]["facts"]>, urls = ["nats://mesh.internal:4222"]) =>
  nats({ urls, facts: { ...WELL.nats.facts, ...change } });
const token = (expiresAt: string) =>
  ({ type: "TokenCreated", namespace: "shop", service: "web", publicKey: "UT", expiresAt }) as const;

test("a mesh with which nothing is wrong", () => {
  expect(healthReport(WELL).filter(({ verdict }) => verdict !== "ok")).toEqual([]);
});

test("one that is reached on loopback needs no TLS", () => {
  expect(
    healthReport(facts({ isEncrypted: false }, ["nats://127.0.0.1:4222"])).every(({ verdict }) => verdict === "ok"),
  ).toBe(true);
});

const ROWS: [what: string, facts: HealthFacts, check: string, verdict: Finding["verdict"], detail: string][] = [
  ["an old server", facts({ serverVersion: "2.8.4" }), "the server can be reached", "fail", "nats-server 2.8.4"],
  ["no encryption", facts({ isEncrypted: false }), "the connection is encrypted", "warn", "no TLS"],
  [
    "a server's certificate that ends",
    nats({ certificateEndMs: NOW_MS + DAY_MS }),
    "its certificate is good for long",
    "warn",
    "in 24h",
  ],
  ["an open server", nats({ letsAnybodyIn: true }), "nobody gets in without credentials", "fail", "was let in"],
  ["no permissions", nats({ hearsCommands: true }), "permissions are enforced", "fail", "ada may hear"],
  [
    "an unknown operator",
    { ...WELL, state: given() },
    "the credentials are an operator's",
    "fail",
    "knows no operator",
  ],
  ["an empty ledger", { ...WELL, ledgerRevision: 0 }, "the ledger can be read", "fail", "it is empty"],
  ["nobody in control", { ...WELL, control: undefined }, "a replica answers", "fail", "none does"],
  [
    "a replica that stays behind",
    checked({ replicas: [replica, { ...replica, id: "r2", revision: 1 }] }),
    "replicas are at the end of the ledger",
    "warn",
    "r2 at 1",
  ],
  [
    "another version",
    checked({ replicas: [{ ...replica, version: "0.9" }] }),
    "replicas are of this version",
    "warn",
    "r1 is 0.9",
  ],
  [
    "a replica that cannot sign",
    checked({ replicas: [replica, { ...replica, id: "r2", cannotSign: "the keys are not here" }] }),
    "replicas sign certificates",
    "warn",
    "r2 does not: the keys are not here",
  ],
  [
    "none that can",
    checked({ replicas: [{ ...replica, cannotSign: "the keys are not here" }] }),
    "replicas sign certificates",
    "fail",
    "r1 does not: the keys are not here",
  ],
  ["a clock that is off", checked({ timeMs: NOW_MS - 40_000 }), "clocks agree", "warn", "up to 10 s apart"],
  [
    "a replica's clock",
    checked({ replicas: [replica, { ...replica, skewMs: 400_000 }] }),
    "clocks agree",
    "fail",
    "400 s",
  ],
  [
    "an authority near its end",
    checked({ issuerNotAfterMs: NOW_MS + 20 * DAY_MS }),
    "the certificate authority is good for long",
    "warn",
    "in 20d",
  ],
  [
    "an authority that has ended",
    checked({ rootNotAfterMs: NOW_MS - 1 }),
    "the certificate authority is good for long",
    "fail",
    "end",
  ],
  [
    "revocations that do not reach NATS",
    checked({ revocations: "no full resolver" }),
    "whoever is revoked is shut out of NATS",
    "fail",
    "no full resolver",
  ],
  [
    "a silent instance",
    instances(instance(), instance({ instance: "web-2" }, false)),
    "instances are heard of",
    "warn",
    "shop/web web-2",
  ],
  ["no instance", instances(), "every service has an instance", "warn", "shop/web"],
  [
    "a service that is not declared",
    instances(instance(), instance({ service: "gone" })),
    "every instance is of a declared service",
    "warn",
    "shop/gone web-1",
  ],
  [
    "an application that does not answer",
    instances(instance({ state: "unhealthy" })),
    "instances are ready",
    "warn",
    "shop/web web-1 is unhealthy",
  ],
  [
    "a refused snapshot",
    instances(instance({ rejected: { revision: 3, reason: "unknown field" } })),
    "no policy was refused",
    "fail",
    "shop/web web-1: unknown field",
  ],
  [
    "an instance behind",
    instances(instance({ revision: 1 })),
    "instances enforce what they should",
    "warn",
    "shop/web web-1",
  ],
  [
    "no certificate",
    instances(instance({ certificateExpiry: undefined })),
    "instances have a certificate",
    "fail",
    "shop/web web-1",
  ],
  [
    "a clock that is behind, by what an instance said half a minute before",
    instances({ ...instance({ time: at(-30_000 - 3_600_000 - 7_000) }), silentMs: 7_000 }),
    "clocks of instances agree",
    "warn",
    "shop/web web-1 is 1h behind",
  ],
  [
    "a clock that is ahead",
    instances(instance({ time: at(-30_000 + 90_400) })),
    "clocks of instances agree",
    "warn",
    "shop/web web-1 is 1m30s ahead",
  ],
  [
    "an expired one",
    instances(instance({ certificateExpiry: at(-1) })),
    "instances have a certificate",
    "fail",
    "shop/web web-1",
  ],
  [
    "one that is not renewed",
    instances(instance({ certificateExpiry: at(5 * MINUTE_MS) })),
    "certificates are renewed in time",
    "warn",
    "shop/web web-1",
  ],
  [
    "an old sidecar",
    instances(instance({ version: "0.9" })),
    "sidecars are of this version",
    "warn",
    "shop/web web-1 is 0.9",
  ],
  [
    "what is not enforced",
    status({ notEnforced: ["Route/shop/web spec.x"] }),
    "all that was accepted is enforced",
    "warn",
    "Route/shop/web spec.x",
  ],
  [
    "permissive mutual TLS",
    { ...WELL, state: stateOf([{ type: "MeshDeclared", spec: { trustDomain: "mesh.local", mtls: "permissive" } }]) },
    "mutual TLS is strict everywhere",
    "warn",
    "Mesh/_mesh/default spec.mtls is permissive",
  ],
  [
    "callers without an identity",
    { ...WELL, strangers: new Map([["shop/web", 7]]) },
    "callers show who they are",
    "warn",
    "calls without an identity in the last 10 minutes: shop/web 7",
  ],
  [
    "an open mesh",
    { ...WELL, state: stateOf([{ type: "MeshDeclared", spec: { trustDomain: "mesh.local", access: "allow" } }]) },
    "calls that no rule allows are refused",
    "warn",
    "spec.access is allow",
  ],
  [
    "a token that ends",
    { ...WELL, state: stateOf([token(at(2 * DAY_MS))]) },
    "no join token ends soon",
    "warn",
    "shop/web in 2d",
  ],
];

describe("what is wrong is found, and nothing else:", () => {
  for (const [what, given_, check, verdict, detail] of ROWS) {
    test(what, () => {
      const report = healthReport(given_);
      const found = report.find((finding) => finding.check === check);
      expect(found).toMatchObject({ verdict, detail: expect.stringContaining(detail) });
      expect(found?.hint).not.toBeEmpty();
      const others = report.filter((finding) => finding.verdict === "fail" && finding.check !== check);
      expect(others.map((finding) => finding.check)).toEqual([]);
    });
  }

  test("a slow answer is no wrong clock", () => {
    for (const timeMs of [NOW_MS - 30_000, NOW_MS - 15_000, NOW_MS + 4_000]) {
      expect(healthReport(checked({ timeMs })).filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    }
  });

  test("an instance's word that was held up is no wrong clock", () => {
    for (const time of [at(-30_000 - 29_000), at(-30_000), at(-1_000), undefined]) {
      expect(healthReport(instances(instance({ time }))).filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    }
  });

  test("a replica's word may be as old as its heartbeat", () => {
    const replicas = [replica, { ...replica, id: "r2", revision: 1 }];
    const fresh = { ...checked({ replicas }), lastChangeMs: NOW_MS - 1_000 };
    expect(healthReport(fresh).filter(({ verdict }) => verdict !== "ok")).toEqual([]);
  });

  test("of many that have the same fault, a few are named and the rest is counted", () => {
    const many = Array.from({ length: 8 }, (_, index) => instance({ instance: `web-${index}`, state: "starting" }));
    const found = healthReport(instances(...many)).find(({ check }) => check === "instances are ready");
    expect(found?.detail).toEndWith("shop/web web-4 is starting and 3 more");
  });
});

test("weak mutual TLS is found wherever it stands", () => {
  const mesh = document("Mesh", "default", { trustDomain: "mesh.local", mtls: "disabled" });
  expect(weakMtls([mesh, service("shop/web")])).toEqual(["Mesh/_mesh/default spec.mtls is disabled"]);
  const deep = { ...mesh, spec: { mtls: { mode: "strict", ports: [{ port: 80, mode: "permissive" }] } } };
  expect(weakMtls([deep as unknown as typeof mesh])).toEqual([
    "Mesh/_mesh/default spec.mtls.ports[0].mode is permissive",
  ]);
});

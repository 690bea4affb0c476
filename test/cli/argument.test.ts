import { describe, expect, test } from "bun:test";
import { ownPolicy } from "../../src/cli/commands/access.ts";
import { rollbackCommands } from "../../src/cli/commands/rollback.ts";
import { parseShares } from "../../src/cli/commands/shift.ts";
import { meshStatus } from "../../src/cli/commands/status.ts";
import { UsageError } from "../../src/cli/failure.ts";
import { parseCallers, parseServiceArgument } from "../../src/cli/input/service-argument.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { TestLedger } from "../support/ledger.ts";

describe("services and callers", () => {
  test.each([
    ["shop/catalog", undefined, { namespace: "shop", name: "catalog" }],
    ["catalog", "shop", { namespace: "shop", name: "catalog" }],
    ["bank/vault", "shop", { namespace: "bank", name: "vault" }],
  ])("%s in %p", (text, namespace, service) => {
    expect(parseServiceArgument(text, namespace)).toEqual(service);
  });

  test.each(["catalog", "", "a/b/c", "shop/", "Shop/catalog", "_mesh/x"])("%p names no service", (text) => {
    expect(() => parseServiceArgument(text, undefined)).toThrow(UsageError);
  });

  test("callers are completed with the namespace, but for patterns that have one", () => {
    expect(parseCallers("web,bank/*,*", "shop")).toEqual(["shop/web", "bank/*", "*"]);
  });

  test("rules given by hand have a policy of their own", () => {
    expect(ownPolicy("payment")).toBe("payment-access");
    expect(() => ownPolicy("p".repeat(60))).toThrow(UsageError);
  });
});

describe("shares", () => {
  test.each([
    [["v2=50%"], { v2: 50 }],
    [["v1=50", "v2=49.5%"], { v1: 50, v2: 49.5 }],
    [["constructor=0"], { constructor: 0 }],
    [["v1=100"], { v1: 100 }],
  ])("%j", (texts, percent) => {
    expect(parseShares(texts)).toEqual(percent as never);
  });

  test.each([["v2"], ["v2="], ["=50"], ["v2=101"], ["v2=-1"], ["v2=1e1"], ["V2=50"], ["v2=50%%"]])(
    "%p is none",
    (text) => {
      expect(() => parseShares([text])).toThrow(UsageError);
    },
  );

  test("a subset is named once", () => {
    expect(() => parseShares(["v1=1", "v1=2"])).toThrow("v1 is given twice");
  });
});

describe("a rollback", () => {
  const ledger = new TestLedger();
  const declare = (namespace: string, name: string): void => {
    const spec = { ports: [{ port: 80, protocol: "http" as const }] };
    ledger.record(namespace, [{ type: "ServiceDeclared", namespace, name, spec }]);
  };
  declare("shop", "web");
  const then = ledger.state;
  declare("shop", "orders");
  declare("bank", "vault");
  const operator = { name: "bob", publicKey: "U1", role: "viewer" as const, namespaces: [] };
  ledger.record("_mesh", [{ type: "OperatorAdded", ...operator }]);
  const span = { target: then, current: ledger.state };
  const scope = { keys: undefined, namespace: undefined };

  test("concerns the namespaces whose documents differ", () => {
    expect(rollbackCommands(span, 1, scope)).toEqual([
      { namespace: "bank", body: { kind: "rollback", toRevision: 1 } },
      { namespace: "shop", body: { kind: "rollback", toRevision: 1 } },
    ]);
  });

  test("or the one that is named, if it differs", () => {
    expect(rollbackCommands(span, 1, { ...scope, namespace: "bank" })).toHaveLength(1);
    expect(rollbackCommands(span, 1, { ...scope, namespace: "elsewhere" })).toEqual([]);
    expect(rollbackCommands({ target: span.current, current: span.current }, 4, scope)).toEqual([]);
  });

  test("or the documents that are named, by namespace", () => {
    const keys = ["Service/shop/orders", "Service/bank/vault", "Service/shop/orders"] as const;
    expect(rollbackCommands(span, 1, { only: keys, namespace: undefined })).toEqual([
      { namespace: "bank", body: { kind: "rollback", toRevision: 1, only: ["Service/bank/vault"] } },
      { namespace: "shop", body: { kind: "rollback", toRevision: 1, only: ["Service/shop/orders"] } },
    ]);
  });

  test("to before the first change leaves what has no document", () => {
    expect(
      rollbackCommands({ target: INITIAL_STATE, current: span.current }, 0, scope).map(({ namespace }) => namespace),
    ).toEqual(["bank", "shop"]);
  });
});

describe("status", () => {
  const status = {
    instance: "web-1",
    namespace: "shop",
    service: "web",
    state: "ready" as const,
    host: "10.0.0.1",
    port: 15006,
    labels: {},
    revision: 5,
    startedAt: "2026-01-01T00:00:00Z",
    version: "1",
  };
  const reply = {
    revision: 9,
    services: [{ namespace: "shop", name: "web", expectedRevision: 8 }],
    notEnforced: [],
    instances: [
      { status, silentMs: 10, connected: true },
      { status: { ...status, instance: "web-0", revision: 8 }, silentMs: 10, connected: true },
      { status: { ...status, service: "ghost" }, silentMs: 10, connected: false },
      { status: { ...status, namespace: "bank" }, silentMs: 10, connected: true },
    ],
  };
  const surroundings = { ledgerRevision: 9, trustDomain: "mesh.local", namespace: "shop" };

  test("says by how much each instance of the namespace is behind", () => {
    const { instances } = meshStatus(reply, surroundings);
    expect(instances.map(({ service, instance, behind }) => [service, instance, behind])).toEqual([
      ["shop/ghost", "web-1", null],
      ["shop/web", "web-0", 0],
      ["shop/web", "web-1", 3],
    ]);
    expect(instances[1]?.identity).toBe("spiffe://mesh.local/ns/shop/sa/web");
  });
});

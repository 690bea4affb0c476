import { describe, expect, test } from "bun:test";
import { domainEvent } from "../../src/events/domain-events.ts";
import { kindOfEvent } from "../../src/events/event-document.ts";
import { type HistoryFilter, history, historyEntry, serviceOfEvent } from "../../src/replay/history.ts";
import { ledger } from "./ledger.ts";

const minute = (n: number) => Date.UTC(2026, 0, 1, 0, n);

describe("history", () => {
  const rows: [string, HistoryFilter, string][] = [
    ["everything", {}, "1 2 3 4 5 6 7 8"],
    ["a namespace", { namespace: "shop" }, "3 5 6 8"],
    ["what is mesh-wide", { namespace: "_mesh" }, "1 2 7"],
    ["an actor", { actor: "bob" }, "4 6"],
    ["an actor in a namespace", { actor: "bob", namespace: "shop" }, "6"],
    ["since", { sinceMs: minute(6) }, "6 7 8"],
    ["until, which is left out", { untilMs: minute(3) }, "1 2"],
    ["between", { sinceMs: minute(3), untilMs: minute(5) }, "3 4"],
    ["a kind", { kind: "Route" }, "3 5 8"],
    ["another kind", { kind: "RateLimit" }, "6 8"],
    ["the Mesh", { kind: "Mesh" }, "2 7"],
    ["access only", { accessOnly: true }, "2 3 4 7"],
    ["access in a namespace", { accessOnly: true, namespace: "bank" }, "4"],
    ["a service as what it is about, and what is mesh-wide", { service: "shop/catalog" }, "2 3 5 6 7 8"],
    ["a service as a caller in another namespace", { service: "shop/web", namespace: "bank" }, "4"],
    ["a service that nobody names", { service: "bank/vault", namespace: "shop" }, ""],
    ["a service as the one that calls", { source: "shop/web" }, "3 4"],
    ["a service as the one that is called", { destination: "bank/vault", accessOnly: true }, "2 4 7"],
    ["who changed access of one to another", { source: "shop/web", destination: "bank/vault" }, "4"],
    ["a text in the reason", { text: "LOOKS good" }, "5"],
    ["a text in an event's words", { text: "v2 10%→50%" }, "5"],
    [
      "all together",
      { namespace: "shop", actor: "alice", kind: "Route", service: "shop/catalog", text: "shifted" },
      "5 8",
    ],
  ];
  for (const [title, filter, revisions] of rows) {
    test(title, async () => {
      const { changes } = await ledger();
      const found = await Array.fromAsync(history(changes, filter));
      expect(found.map(({ recorded }) => recorded.revision).join(" ")).toBe(revisions);
    });
  }

  test("reads from a log, and shows of each change the events that it was picked for", async () => {
    const { log } = await ledger();
    const found = await Array.fromAsync(history(log.read(), { namespace: "shop", kind: "AccessPolicy" }));
    expect(found.map(({ recorded, events }) => [recorded.revision, events.map(({ type }) => type).join(" ")])).toEqual([
      [3, "AccessPolicyDeclared AccessGranted"],
    ]);
  });

  const callers: [string[] | undefined, boolean][] = [
    [["shop/web"], true],
    [["shop/*"], true],
    [["*"], true],
    [undefined, true],
    [["bank/*", "shop/webby"], false],
  ];
  for (const [from, concerned] of callers) {
    test(`a rule for ${from ?? "any caller"} ${concerned ? "concerns" : "does not concern"} shop/web`, async () => {
      const { changes } = await ledger();
      const [granted] = changes.slice(3, 4);
      if (granted === undefined) throw new Error("the ledger is too short");
      const rule = { allow: from === undefined ? {} : { from } };
      const policy = { namespace: "bank", name: "tellers", service: "vault", index: 0, rule };
      const data = { ...granted.change.data, events: [{ type: "AccessRevoked" as const, ...policy }] };
      const entry = historyEntry({ ...granted, change: { ...granted.change, data } }, { service: "shop/web" });
      expect(entry !== undefined).toBe(concerned);
    });
  }

  test("stops reading where its consumer stops", async () => {
    const { changes } = await ledger();
    let read = 0;
    function* counted() {
      for (const recorded of changes) {
        read += 1;
        yield recorded;
      }
    }
    for await (const entry of history(counted(), { namespace: "shop" })) if (entry.recorded.revision === 3) break;
    expect(read).toBe(3);
  });
});

describe("what events are about", () => {
  test("every kind of event has been thought of", () => {
    const kinds = domainEvent.options.map((option) => {
      const type = option.shape.type.value;
      return `${type} ${kindOfEvent({ type } as never)}`;
    });
    expect(kinds.filter((kind) => kind.endsWith("undefined"))).toEqual([
      "OperatorAdded undefined",
      "OperatorRevoked undefined",
      "TokenCreated undefined",
      "TokenUsed undefined",
      "TokenRevoked undefined",
      "RootAdded undefined",
      "RootActivated undefined",
      "RootRetired undefined",
      "RootRotationStarted undefined",
      "RootRotationPaused undefined",
      "RootRotationResumed undefined",
      "RootRotationAborted undefined",
      "FederationTrusted undefined",
      "FederationEnded undefined",
      "IdentityRevoked undefined",
      "IdentityReinstated undefined",
      "FaultInjected undefined",
      "FaultCleared undefined",
      "RolledBack undefined",
      "ChangeReverted undefined",
    ]);
  });

  test("the service of an event is the one its document is about, not the document's name", async () => {
    const { changes } = await ledger();
    const services = changes.flatMap(({ change }) =>
      change.data.events.map((event) => `${event.type} ${serviceOfEvent(event)}`),
    );
    expect(services).toContain("AccessGranted shop/catalog");
    expect(services).toContain("AccessGranted bank/vault");
    expect(services).toContain("RouteDefined shop/catalog");
    expect(services).toContain("RateLimitRemoved shop/catalog");
    expect(services).toContain("RolledBack undefined");
    expect(services).toContain("RootAdded undefined");
  });
});

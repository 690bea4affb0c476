/** What changes look like to people: marks, differences of documents, lines of the log, conflicts, who lags. */

import { describe, expect, test } from "bun:test";
import { convergenceText, requireApplied } from "../../src/cli/mesh/convergence.ts";
import { conflictText, differenceText } from "../../src/cli/mesh/proposal.ts";
import { documentLines } from "../../src/cli/output/document-lines.ts";
import { summarise } from "../../src/cli/output/document-summary.ts";
import { logTable, logValue } from "../../src/cli/output/log-output.ts";
import { documentsOf } from "../../src/events/documents.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { policyDocument } from "../../src/policy/schema.ts";
import { historyEntry } from "../../src/replay/history.ts";
import { TestLedger } from "../support/ledger.ts";

const plain = (_style: string, text: string): string => text;
const EVIL = "x\u001b]0;owned\u0007\u009b2J\u202e";
const shop = await Bun.file(new URL("../../examples/shop/policy.yaml", import.meta.url)).text();

function history(): TestLedger {
  const ledger = new TestLedger();
  ledger.apply(shop);
  return ledger;
}

function proposal(namespace: string, events: DomainEvent[]) {
  const decided = { kind: "decided" as const, basedOn: 0, digest: "", events, warnings: [] };
  return { command: { namespace, body: { kind: "rollback", toRevision: 0 } as const }, decided };
}

describe("a difference in words", () => {
  const shift: DomainEvent = {
    type: "TrafficShifted",
    namespace: "shop",
    name: "catalog",
    service: "catalog",
    rule: 1,
    from: { v1: 90, v2: 10 },
    to: { v1: 50, v2: 50 },
  };
  const route: DomainEvent = {
    type: "RouteDefined",
    namespace: "shop",
    name: "catalog",
    spec: { service: "catalog", rules: [{}] },
  };
  const removal: DomainEvent = { type: "ServiceRemoved", namespace: "shop", name: "web" };

  test("marks what comes, changes and goes, under its namespace", () => {
    expect(
      differenceText([proposal("bank", []), proposal("shop", [route, shift, removal])], plain, INITIAL_STATE),
    ).toBe(
      [
        "shop",
        "  + defined the route of shop/catalog: rule 0 → whole service",
        "  ~ shifted shop/catalog rule 1: v1 90%→50%, v2 10%→50%",
        "  - removed shop/web",
        "",
      ].join("\n"),
    );
  });

  test("a route that is there already is changed, not added", () => {
    expect(differenceText([proposal("shop", [route])], plain, history().state)).toContain("~ defined the route");
  });
});

describe("a document before and after", () => {
  const documents = documentsOf(history().state, { kind: "Route" });
  const before = documents[0]?.document;
  const after = policyDocument.parse({ ...before, spec: { service: "catalog", rules: [{ timeout: "5s" }] } });

  test("shows what left, what came and what stayed", () => {
    const lines = documentLines(before, after).map(({ mark, text }) => `${mark} ${text}`);
    expect(lines).toContain("  kind: Route");
    expect(lines.filter((line) => line.startsWith("-")).length).toBeGreaterThan(3);
    expect(lines.at(-1)).toBe("+     - timeout: 5s");
  });

  test("both versions can be read off it", () => {
    const lines = documentLines(before, after);
    const version = (mark: string) => lines.filter((line) => line.mark === mark || line.mark === " ");
    const only = (document: typeof before) => documentLines(undefined, document).map(({ text }) => text);
    expect(version("-").map(({ text }) => text)).toEqual(only(before));
    expect(version("+").map(({ text }) => text)).toEqual(only(after));
  });

  test("nothing is nothing", () => {
    expect(documentLines(undefined, undefined)).toEqual([]);
  });
});

test("documents in a few words", () => {
  const said = documentsOf(history().state).map(({ key, document }) => `${key}: ${summarise(document)}`);
  expect(said).toEqual([
    "Mesh/_mesh/default: mesh.local, mTLS strict, access deny",
    "Service/shop/catalog: 8080 http; subsets v1, v2",
    "Service/shop/orders: 8080 http",
    "Service/shop/payment: 8080 http",
    "Service/shop/web: 8080 http",
    "Route/shop/catalog: catalog: 2 rules, v1 90 + v2 10",
    "AccessPolicy/shop/orders: orders: 1 allow, 1 deny",
    "AccessPolicy/shop/payment-allow-orders: payment: 1 allow, 0 denies",
    "AccessPolicy/shop/storefront: catalog: 1 allow, 0 denies",
    "RateLimit/shop/payment: payment: 100 per 1s",
  ]);
});

describe("a line of the log", () => {
  const ledger = history();
  ledger.record("shop", [{ type: "ServiceRemoved", namespace: "shop", name: "web" }], EVIL);
  const entries = ledger.changes.flatMap((recorded) => historyEntry(recorded, {}) ?? []).reverse();
  const nowMs = Date.UTC(2026, 0, 1, 0, 1, 3);

  test("has revision, time, operator and what happened, within the terminal's width", () => {
    const text = logTable(entries, { nowMs, width: 100, times: "relative" });
    const lines = text.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^REVISION +TIME +BY +CHANGE$/);
    expect(lines[1]).toMatch(/^3 +1m ago +x\uFFFD\]0;owned\uFFFD\uFFFD2J\uFFFD +removed shop\/web$/);
    expect(lines[2]).toMatch(/^2 +1m ago +alice +declared shop\/catalog on 8080.+; and \d+ more$/);
    for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(100);
  });

  test("is not cut where there is no terminal", () => {
    expect(logTable(entries, { nowMs, width: undefined, times: "absolute" })).not.toContain("…");
  });

  test("shows the reason however long the change is", () => {
    const [first] = entries.slice(1);
    if (first === undefined) throw new Error("there is one");
    const { recorded } = first;
    const data = { ...recorded.change.data, reason: `ticket 7\n${"because ".repeat(20)}` };
    const explained = { ...first, recorded: { ...recorded, change: { ...recorded.change, data } } };
    const line = logTable([explained], { nowMs, width: 100, times: "relative", heads: false });
    expect(line).toMatch(/"ticket 7\uFFFDbecause .*…"\n$/);
    expect(Bun.stringWidth(line.trimEnd())).toBeLessThanOrEqual(100);
  });

  test("for machines is the entry, or the CloudEvent with its place in the ledger", () => {
    const [first] = entries;
    if (first === undefined) throw new Error("there is one");
    expect(logValue(first, "json")).toMatchObject({ revision: 3, namespace: "shop", lines: ["removed shop/web"] });
    expect(logValue(first, "cloudevents")).toMatchObject({ specversion: "1.0", sequence: "3", subject: "shop" });
  });
});

test("a conflict says by whom, when, why and what", () => {
  const time = "2026-01-01T00:00:00.000Z";
  const change = { revision: 14, actor: EVIL, time, reason: EVIL, lines: ["granted a → b"] };
  const text = conflictText("shop", { kind: "conflict", changes: [change] }, Date.parse(time) + 3_000);
  expect(text).toContain("revision 14 by x\uFFFD");
  expect(text).toContain("3s ago");
  expect(text).toContain("    granted a → b");
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
});

describe("waiting", () => {
  const lagging = [{ instance: "web-1", service: "shop/web", revision: 3, why: "disconnected" }];

  test("says how long it took", () => {
    expect(convergenceText(7, { applied: true, convergenceMs: 41.6, lagging: [] })).toBe(
      "revision 7 is enforced by every connected instance, 42 ms after it was appended",
    );
    expect(convergenceText(7, { applied: true, lagging })).toBe(
      "revision 7 is enforced by every connected instance; 1 disconnected will follow",
    );
    requireApplied(7, { applied: true, lagging });
  });

  test("says who lags and why, and fails", () => {
    expect(convergenceText(7, { applied: false, lagging })).toMatch(/shop\/web +web-1 +3 +disconnected$/);
    expect(() => requireApplied(7, { applied: false, lagging })).toThrow("1 instance does not enforce revision 7 yet");
  });
});

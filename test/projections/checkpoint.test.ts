import { expect, test } from "bun:test";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import type { MeshState } from "../../src/events/state.ts";
import { canonicalJson } from "../../src/policy/canonical.ts";
import {
  type Checkpoint,
  checkpointKey,
  decodeCheckpoint,
  encodeCheckpoint,
} from "../../src/projections/checkpoint.ts";
import { meshProjection } from "../../src/projections/projection.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { TestLedger } from "../support/ledger.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

const SHOP = new URL("../../examples/shop/policy.yaml", import.meta.url);

async function shopCheckpoint(): Promise<Checkpoint<MeshState>> {
  const ledger = new TestLedger();
  ledger.apply(await Bun.file(SHOP).text());
  return { revision: ledger.state.revision, hash: ledger.changes.at(-1)?.hash ?? "", state: ledger.state };
}

test("the key names projection and version", () => {
  expect(checkpointKey({ name: "mesh", version: 7 })).toBe("mesh.7");
});

test("any state comes back as it was, and equal states have equal JSON", () => {
  const property = fc.property(fc.array(steps, { maxLength: 20, size: "max" }), (history) => {
    const ledger = new TestLedger();
    for (const list of history) {
      const events = eventsOfSteps(ledger.state, list);
      if (events.length > 0) ledger.record(list[0]?.namespace ?? "shop", events);
    }
    const { state } = ledger;
    const checkpoint = { revision: state.revision, hash: "h", state };
    const decoded = decodeCheckpoint(meshProjection, meshStateCodec, encode(checkpoint));
    expect(decoded).toEqual({ ok: true, value: checkpoint });
    const reversed = { ...state, namespaces: new Map([...state.namespaces].reverse()) };
    expect(canonicalJson(meshStateCodec.toJson(reversed))).toBe(canonicalJson(meshStateCodec.toJson(state)));
  });
  fc.assert(property, { numRuns: 50 });
});

test("a checkpoint of another projection or version is none", async () => {
  const bytes = encode(await shopCheckpoint());
  const { version } = meshProjection;
  for (const [other, words] of [
    [{ ...meshProjection, version: version + 1 }, `mesh version ${version}, not of mesh version ${version + 1}`],
    [{ ...meshProjection, name: "audit" }, `mesh version ${version}, not of audit version ${version}`],
  ] as const) {
    const decoded = decodeCheckpoint(other, meshStateCodec, bytes);
    expect(decoded.ok ? "" : decoded.error).toContain(words);
  }
});

test("damage is found wherever it is", async () => {
  const bytes = encode(await shopCheckpoint());
  const plain = gunzipSync(bytes).toString("utf8");
  const damaged: [string, Uint8Array][] = [
    ["nothing at all", new Uint8Array()],
    ["not gzip", new TextEncoder().encode(plain)],
    ["cut short", bytes.slice(0, bytes.length / 2)],
    ["one byte", bytes.with(bytes.length >> 1, ((bytes[bytes.length >> 1] ?? 0) + 1) % 256)],
    ["not JSON", gzipSync("{")],
    ["no checkpoint", gzipSync("{}")],
    ["another state under the digest", gzipSync(plain.replace('"strict"', '"permissive"'))],
  ];
  for (const [what, value] of damaged) {
    expect({ what, ok: decodeCheckpoint(meshProjection, meshStateCodec, value).ok }).toEqual({ what, ok: false });
  }
});

test("data that is no state is refused, whoever signed it", () => {
  const good = meshStateCodec.toJson(meshProjection.initial);
  expect(meshStateCodec.fromJson(good)).toEqual(meshProjection.initial);
  const twice = [1, 2].map(() => ["aa", { fingerprint: "aa", pem: "PEM", status: "added" }]);
  for (const wrong of [{ revision: -1 }, { namespaces: [["shop", {}]] }, { extra: 1 }, { roots: twice }]) {
    expect(() => meshStateCodec.fromJson(Object.assign({}, good, wrong))).toThrow();
  }
});

function encode(checkpoint: Checkpoint<MeshState>): Uint8Array {
  return encodeCheckpoint(meshProjection, meshStateCodec, checkpoint);
}

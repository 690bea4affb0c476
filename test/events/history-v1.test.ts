/**
 * A ledger as version 1 stored it, with every type of event there was, kept for ever: each line is a change's bytes.
 * Whoever adds a type adds lines at the end of the file; lines that are there are never changed.
 */

import { expect, test } from "bun:test";
import { encodeChange, recordedChange, sha256Hex } from "../../src/events/chain.ts";
import { domainEvent } from "../../src/events/domain-events.ts";
import { foldAll } from "../../src/events/evolve.ts";
import { canonicalJson } from "../../src/policy/canonical.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";

const FIXTURE = new URL("fixtures/history-v1.jsonl", import.meta.url);
const STORED_DIGEST = "4aaba53558409f340b55c265510c32cc5fb4ec25feeb13549c348982cedec670";
/** A field that the state gained since may change this, and nothing else: compare before writing down another. */
const STATE_DIGEST = "e230e6edfab62b0b621efc462d1a9179293a7673059611ca7f2091550cca23fa";

const text = await Bun.file(FIXTURE).text();
const lines = text.trimEnd().split("\n");
const changes = lines.map((line, at) => recordedChange(new TextEncoder().encode(line), at + 1));

test("is as it was written", () => {
  expect(sha256Hex(text)).toBe(STORED_DIGEST);
});

test("reads without losing a field, and means what it meant", () => {
  for (const [at, { change }] of changes.entries()) {
    expect(new TextDecoder().decode(encodeChange(change))).toBe(lines[at] ?? "");
  }
  expect(sha256Hex(canonicalJson(meshStateCodec.toJson(foldAll(changes))))).toBe(STATE_DIGEST);
});

test("has an event of every type", () => {
  const known = domainEvent.options.map(({ shape }) => shape.type.value);
  const stored = new Set(changes.flatMap(({ change }) => change.data.events.map(({ type }) => type)));
  expect(known.filter((type) => !stored.has(type))).toEqual([]);
});

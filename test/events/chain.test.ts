import { describe, expect, test } from "bun:test";
import { decodeChange, encodeChange, recordedChange, sha256Hex, verifyChain } from "../../src/events/chain.ts";
import { type Change, FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import { LogCorruption } from "../../src/events/log.ts";
import { sampleChange } from "../contracts/event-log.ts";

/** Six changes of two namespaces by turns: shop 1, bank 2, shop 3, … */
function history(): RecordedChange[] {
  const last = new Map<string, string>();
  return Array.from({ length: 6 }, (_, index) => {
    const namespace = index % 2 === 0 ? "shop" : "bank";
    const change = sampleChange(namespace, `svc-${index}`, last.get(namespace) ?? FIRST_PREVIOUS);
    const recorded = recordedChange(encodeChange(change), index + 1);
    last.set(namespace, recorded.hash);
    return recorded;
  });
}

function edited(recorded: RecordedChange): RecordedChange {
  const { change } = recorded;
  const forged = { ...change, data: { ...change.data, reason: "something else" } };
  return recordedChange(encodeChange(forged), recorded.revision);
}

const numbered = (changes: RecordedChange[]): RecordedChange[] =>
  changes.map((recorded, index) => ({ ...recorded, revision: index + 1 }));

describe("verifyChain", () => {
  test("finds nothing wrong with an untouched history, and names its heads", async () => {
    const changes = history();
    const report = await verifyChain(changes);
    expect(report.problems).toEqual([]);
    expect(report.changes).toBe(6);
    expect(report.heads).toEqual(
      new Map([
        ["shop", changes[4]?.hash ?? ""],
        ["bank", changes[5]?.hash ?? ""],
      ]),
    );
  });

  const tampered: [string, (changes: RecordedChange[]) => RecordedChange[], string][] = [
    ["an edited change", (all) => all.map((one, index) => (index === 2 ? edited(one) : one)), "edited 3"],
    ["a dropped change", (all) => all.filter((_, index) => index !== 2), "dropped 5"],
    ["a dropped beginning", (all) => all.slice(1), "dropped 3"],
    [
      "a dropped change with the revisions closed up",
      (all) => numbered(all.filter((_, index) => index !== 2)),
      "edited 1",
    ],
    [
      "two changes swapped, revisions and all",
      (all) => [0, 1, 4, 3, 2, 5].flatMap((index) => all[index] ?? []),
      "reordered 5,reordered 3",
    ],
    [
      "two changes swapped and numbered anew",
      (all) => numbered([0, 1, 4, 3, 2, 5].flatMap((index) => all[index] ?? [])),
      "reordered 3,reordered 5",
    ],
    ["a change repeated", (all) => numbered([...all, ...all.slice(2, 3)]), "duplicated 7"],
    [
      "a change repeated in the middle",
      (all) => numbered([...all.slice(0, 4), ...all.slice(2, 3), ...all.slice(4)]),
      "duplicated 5",
    ],
  ];
  for (const [title, tamper, expected] of tampered) {
    test(`finds ${title}`, async () => {
      const { problems } = await verifyChain(tamper(history()));
      const found = problems.map(({ kind, revision }) => `${kind} ${revision}`);
      expect(found.sort()).toEqual(expected.split(",").sort());
    });
  }

  test("finds a rewritten end by a head noted earlier, and only by that", async () => {
    const changes = history();
    const heads = (await verifyChain(changes)).heads;
    const forged = changes.map((one, index) => (index === 5 ? edited(one) : one));
    expect((await verifyChain(forged)).problems).toEqual([]);
    const { problems } = await verifyChain(forged, { heads });
    expect(problems.map(({ kind, namespace, revision }) => [kind, namespace, revision])).toEqual([
      ["edited", "bank", 6],
    ]);
    expect((await verifyChain(changes, { heads })).problems).toEqual([]);
  });

  test("checks one namespace on its own, where revisions have holes", async () => {
    const only = history().filter(({ namespace }) => namespace === "shop");
    expect((await verifyChain(only)).problems).toEqual([]);
  });
});

describe("changes as bytes", () => {
  const change = sampleChange("shop", "web");
  const variant = (edit: (data: Record<string, unknown>) => object): Uint8Array =>
    new TextEncoder().encode(JSON.stringify({ ...change, data: edit(structuredClone(change.data)) }));

  test("come back as they went", () => {
    expect(decodeChange(encodeChange(change), 1)).toEqual(change);
  });

  test("are the same whatever the order of members", () => {
    const reversed = Object.fromEntries(Object.entries(change).reverse()) as Change;
    expect(sha256Hex(encodeChange(reversed))).toBe(sha256Hex(encodeChange(change)));
  });

  test("hash as SHA-256 does (FIPS 180-4, one block)", () => {
    expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  const rows: [string, Uint8Array, string][] = [
    ["no JSON", new TextEncoder().encode("{"), "is not JSON"],
    ["no UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "is not JSON"],
    ["no change", new TextEncoder().encode("[]"), "no data.schema"],
    ["a newer schema", variant((data) => ({ ...data, schema: 2 })), "upgrade heddle"],
    [
      "an unknown event",
      variant((data) => ({ ...data, events: [{ type: "Teleported" }] })),
      '"Teleported" is unknown to this program: upgrade heddle',
    ],
    [
      "an event with an unknown field",
      variant((data) => ({ ...data, events: [{ type: "RootRetired", fingerprint: "a", why: "" }] })),
      "data.events.0",
    ],
    ["no events", variant((data) => ({ ...data, events: [] })), "data.events"],
    ["an unknown field of the change", variant((data) => ({ ...data, extra: 1 })), "data"],
  ];
  for (const [title, bytes, words] of rows) {
    test(`are refused when they hold ${title}`, () => {
      const decode = () => decodeChange(bytes, 7);
      expect(decode).toThrow(LogCorruption);
      expect(decode).toThrow("revision 7: ");
      expect(decode).toThrow(words);
    });
  }
});

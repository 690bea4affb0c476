/** What becomes of an export on its way: it proves itself, and tells what was done to it. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proveExport, readExport } from "../../src/cli/mesh/ledger-proof.ts";
import { recordedChange } from "../../src/events/chain.ts";
import { FIRST_MARK } from "../../src/events/ledger-mark.ts";
import { sign } from "../../src/nats/keys.ts";
import { changeLine, sealLine } from "../../src/replay/export.ts";
import { document } from "../events/scenario.ts";
import { type Signer, type Stored, verifyStored } from "./signed-ledger.ts";
import { ada, build, edited, eve, stored, swapped, without } from "./tampered-ledger.ts";

describe("an export", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "heddle-export-"));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  const linesOf = (list: readonly Stored[]): string[] =>
    list.map(({ revision, bytes }) => changeLine(recordedChange(bytes, revision), bytes));

  async function sealOf(list: readonly Stored[], by: Signer = ada, base = FIRST_MARK, actor = by): Promise<string> {
    const { mark, changes } = await verifyStored(list);
    const text = {
      base,
      end: mark,
      changes: changes - base.revision,
      actor: { name: actor.name, publicKey: actor.publicKey },
    };
    const signText = (data: string): string =>
      Buffer.from(sign(by.seed, new TextEncoder().encode(data))).toString("base64url");
    return sealLine(text, { id: "seal", time: "2026-01-02T00:00:00.000Z", sign: signText });
  }

  async function problemsOf(lines: readonly string[]): Promise<[string, number][]> {
    const path = join(directory, `${Math.random()}.jsonl`);
    await writeFile(path, lines.map((line) => `${line}\n`).join(""));
    const { problems } = await proveExport(await readExport(path), () => []);
    return problems.map(({ kind, revision }) => [kind, revision]);
  }

  test("proves itself, whole or in part", async () => {
    expect(await problemsOf([...linesOf(stored), await sealOf(stored)])).toEqual([]);
    const { mark } = await verifyStored(stored.slice(0, 3));
    expect(await problemsOf([...linesOf(stored.slice(3)), await sealOf(stored, ada, mark)])).toEqual([]);
  });

  const cut = stored.slice(0, 6);
  const late = (): Stored[] => edited(7, (change) => ({ ...change, time: "2020-01-01T00:00:00.000Z" }));
  const rows: [string, () => Promise<string[]>, string, number][] = [
    ["its end is cut off with the seal", async () => linesOf(cut), "truncated", 6],
    ["its end is cut off before the seal", async () => [...linesOf(cut), await sealOf(stored)], "truncated", 6],
    ["a line is taken out", async () => [...linesOf(without(4)), await sealOf(stored)], "dropped", 4],
    ["a line is edited that no other names", async () => [...linesOf(late()), await sealOf(stored)], "edited", 8],
    [
      "a line is added",
      async () => [
        ...linesOf([
          ...stored,
          ...build(eve)
            .stored.slice(7)
            .map(({ bytes }) => ({ revision: 9, bytes })),
        ]),
        await sealOf(stored),
      ],
      "duplicated",
      9,
    ],
    ["lines are swapped", async () => [...linesOf(swapped(6, 7)), await sealOf(stored)], "edited", 8],
    ["a line is no JSON", async () => [...linesOf(stored).with(4, "{"), await sealOf(stored)], "unreadable", 5],
    ["it is sealed by a stranger", async () => [...linesOf(cut), await sealOf(cut, eve)], "stranger", 6],
    [
      "it is sealed by a stranger in an operator's name",
      async () => [...linesOf(cut), await sealOf(cut, eve, FIRST_MARK, ada)],
      "forged",
      6,
    ],
  ];
  test.each(rows)("tells when %s", async (_, lines, kind, revision) => {
    expect(await problemsOf(await lines())).toContainEqual([kind, revision]);
  });
});

test("documents of a policy survive the way through an export byte for byte", () => {
  const ledger = build();
  const odd = document("AccessPolicy", "shop/odd", {
    service: "web",
    rules: [{ allow: { paths: ['/é\u2028\\"/*'] } }],
  });
  ledger.command(ada, "shop", { kind: "apply", documents: [odd] });
  for (const { revision, bytes } of ledger.stored) {
    const line = changeLine(recordedChange(bytes, revision), bytes);
    expect(line).not.toContain("\n");
    expect(JSON.parse(line)).toMatchObject({ sequence: String(revision), specversion: "1.0" });
  }
});

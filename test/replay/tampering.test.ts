/** Every way to alter a ledger that came to mind: each is found, and said to be where it is. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proveExport, readExport } from "../../src/cli/mesh/ledger-proof.ts";
import { encodeChange, recordedChange } from "../../src/events/chain.ts";
import { type Change, FIRST_PREVIOUS } from "../../src/events/change.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { FIRST_MARK } from "../../src/events/ledger-mark.ts";
import { sign } from "../../src/nats/keys.ts";
import { changeLine, sealLine } from "../../src/replay/export.ts";
import type { NotedLedger, ProofProblem } from "../../src/replay/verify.ts";
import { document, service } from "../events/scenario.ts";
import { SignedLedger, type Signer, type Stored, signed, signer, verifyStored } from "./signed-ledger.ts";

const ada = signer("ada");
const bob = signer("bob");
const eve = signer("eve");

const added = ({ name, publicKey }: Signer, role: "admin" | "editor", ...namespaces: string[]): DomainEvent => {
  return { type: "OperatorAdded", name, publicKey, role, namespaces };
};
const grant = (from: string): CommandBody => ({
  kind: "access",
  service: { namespace: "shop", name: "web" },
  policy: "front",
  rule: { allow: { from: [from] } },
});
const grantOf = (index: number, from: string): DomainEvent => {
  const rule = { allow: { from: [from] } };
  return { type: "AccessGranted", namespace: "shop", name: "front", service: "web", index, rule };
};

/** 1 mesh, 2 shop, 3 bank, 4 and 5 shop by bob, 6 bank, 7 shop, 8 bob is revoked. */
function build(founder = ada): SignedLedger {
  const ledger = new SignedLedger();
  ledger.unsigned("_mesh", [
    added(founder, "admin"),
    added(bob, "editor", "shop"),
    { type: "MeshDeclared", spec: { trustDomain: "mesh.local" } },
  ]);
  ledger.command(founder, "shop", { kind: "apply", documents: [service("shop/web")] }, "open");
  ledger.command(founder, "bank", { kind: "apply", documents: [service("bank/vault")] });
  ledger.command(bob, "shop", grant("shop/orders"), "first");
  ledger.command(bob, "shop", grant("shop/catalog"), "second");
  ledger.command(founder, "bank", { kind: "apply", documents: [service("bank/teller")] });
  ledger.command(founder, "shop", grant("bank/teller"), "third");
  ledger.command(founder, "_mesh", { kind: "operator-revoke", name: "bob" });
  return ledger;
}

const { stored } = build();
const noted: NotedLedger[] = [];

const changeAt = (list: readonly Stored[], revision: number): Change => {
  const found = list.find((one) => one.revision === revision);
  if (found === undefined) throw new Error(`no revision ${revision}`);
  return recordedChange(found.bytes, revision).change;
};

/** One change written anew; what comes after it stays. */
function edited(revision: number, edit: (change: Change) => Change, list: readonly Stored[] = stored): Stored[] {
  return list.map((one) => {
    return one.revision === revision ? { revision, bytes: encodeChange(edit(changeAt(list, revision))) } : one;
  });
}

const withData = (change: Change, data: Partial<Change["data"]>): Change => ({
  ...change,
  data: { ...change.data, ...data },
});

/** Numbers from 1, and every change naming the one before it, as somebody who knows the format would leave it. */
function rechained(list: readonly Stored[]): Stored[] {
  const heads = new Map<string, string>();
  return renumbered(list).map(({ revision, bytes }) => {
    const { change } = recordedChange(bytes, revision);
    const linked = encodeChange(withData(change, { previous: heads.get(change.subject) ?? FIRST_PREVIOUS }));
    heads.set(change.subject, recordedChange(linked, revision).hash);
    return { revision, bytes: linked };
  });
}

function renumbered(list: readonly Stored[]): Stored[] {
  return list.map(({ bytes }, index) => ({ revision: index + 1, bytes }));
}

const without = (...revisions: number[]): Stored[] => stored.filter(({ revision }) => !revisions.includes(revision));

/** One more at the end, properly chained. */
function appended(namespace: string, draft: Parameters<SignedLedger["append"]>[1]): Stored[] {
  const ledger = build();
  ledger.append(namespace, draft);
  return rechained([...stored, ...ledger.stored.slice(stored.length)]);
}

function swapped(a: number, b: number): Stored[] {
  const list = [...stored];
  const [first, second] = [list[a - 1], list[b - 1]];
  if (first === undefined || second === undefined) throw new Error("no such revisions");
  list[a - 1] = second;
  list[b - 1] = first;
  return renumbered(list);
}

/** What the attack leaves, what is said of it, and where; `noted`: only against what was noted earlier. */
type Row = [name: string, attack: () => Stored[], kind: ProofProblem["kind"], revision: number, noted?: "noted"];

const ATTACKS: Row[] = [
  ["a reason is edited", () => edited(4, (change) => withData(change, { reason: "fine" })), "edited", 4],
  ["events are edited", () => edited(4, (change) => withData(change, { events: [grantOf(0, "*")] })), "edited", 4],
  [
    "the author's name is edited",
    () => edited(4, (change) => withData(change, { actor: { ...change.data.actor, name: "ada" } })),
    "stranger",
    4,
  ],
  ["a time is edited", () => edited(4, (change) => ({ ...change, time: "2020-01-01T00:00:00.000Z" })), "edited", 4],
  ["the last reason is edited", () => edited(7, (change) => withData(change, { reason: "fine" })), "forged", 7],
  [
    "the last time is edited",
    () => edited(7, (change) => ({ ...change, time: "2020-01-01T00:00:00.000Z" })),
    "edited",
    7,
    "noted",
  ],
  [
    "events are edited, and all after them chained anew",
    () => rechained(edited(4, (change) => withData(change, { events: [grantOf(0, "*")] }))),
    "forged",
    4,
  ],
  [
    "a reason is edited, and all after it chained anew",
    () => rechained(edited(2, (change) => withData(change, { reason: "fine" }))),
    "forged",
    2,
  ],
  ["one is dropped", () => without(4), "dropped", 4],
  ["the first is dropped", () => without(1), "dropped", 1],
  ["one is dropped, and the gap closed", () => renumbered(without(5)), "edited", 4],
  ["one is dropped, and all after it chained anew", () => rechained(without(5)), "truncated", 7, "noted"],
  ["a namespace is dropped, and the rest numbered anew", () => rechained(without(3, 6)), "truncated", 6, "noted"],
  ["the end is cut off", () => stored.slice(0, 6), "truncated", 6, "noted"],
  [
    "the end of one namespace is cut off, and the rest numbered anew",
    () => renumbered(without(7)),
    "truncated",
    7,
    "noted",
  ],
  ["two of a namespace are swapped", () => swapped(4, 5), "reordered", 4],
  ["two of different namespaces are swapped", () => swapped(6, 7), "edited", 6, "noted"],
  ["two are swapped with their numbers", () => stored.toSpliced(3, 2, ...stored.slice(3, 5).reverse()), "reordered", 4],
  ["one is there twice", () => renumbered([...stored, ...stored.slice(3, 4)]), "duplicated", 9],
  ["one is there twice under its own number", () => stored.toSpliced(4, 0, ...stored.slice(3, 4)), "reordered", 4],
  [
    "it is signed by another key",
    () =>
      edited(7, (change) =>
        withData(change, signed(eve, { namespace: "shop", body: grant("bank/teller") }, change.data.events)),
      ),
    "stranger",
    7,
  ],
  [
    "it is signed by another key in the name of the author",
    () =>
      edited(7, (change) =>
        withData(
          change,
          signed({ ...eve, name: "ada" }, { namespace: "shop", body: grant("bank/teller") }, change.data.events),
        ),
      ),
    "stranger",
    7,
  ],
  [
    "a signature is another's",
    () =>
      edited(7, (change) =>
        withData(change, {
          command: { ...change.data.command, signature: changeAt(stored, 6).data.command.signature },
        }),
      ),
    "forged",
    7,
  ],
  [
    "a signature is taken away",
    () =>
      edited(7, (change) =>
        withData(change, { actor: { name: "heddle" }, command: { kind: "access", id: "x", digest: "y" } }),
      ),
    "unsigned",
    7,
  ],
  [
    "a command is edited together with its digest",
    () => edited(7, (change) => withData(change, { command: { ...change.data.command, text: "{}", digest: "00" } })),
    "forged",
    7,
  ],
  [
    "a signed command is given other events",
    () => edited(7, (change) => withData(change, { events: [grantOf(2, "*")] })),
    "forged",
    7,
  ],
  [
    "a change is moved to another namespace",
    () => rechained(edited(7, (change) => ({ ...change, subject: "bank" }))),
    "forged",
    7,
  ],
  [
    "a change is slipped in that nobody signed",
    () =>
      appended("shop", {
        actor: { name: "heddle" },
        reason: "",
        command: { kind: "access", id: "x", digest: "y" },
        events: [grantOf(3, "*")],
      }),
    "unsigned",
    9,
  ],
  [
    "a change is slipped in that a stranger signed",
    () => appended("shop", signed(eve, { namespace: "shop", body: grant("*") }, [grantOf(3, "*")])),
    "stranger",
    9,
  ],
  [
    "a stranger is made an operator",
    () =>
      appended("_mesh", {
        actor: { name: "heddle" },
        reason: "",
        command: { kind: "bootstrap", id: "x", digest: "y" },
        events: [added(eve, "admin")],
      }),
    "unsigned",
    9,
  ],
  [
    "a root is slipped in",
    () =>
      appended("_mesh", {
        actor: { name: "heddle" },
        reason: "",
        command: { kind: "rotate-root", id: "x", digest: "y" },
        events: [{ type: "RootAdded", fingerprint: "ee", pem: "PEM" }],
      }),
    "unsigned",
    9,
  ],
  [
    "an editor signs for another namespace",
    () =>
      rechained(
        edited(6, (change) =>
          withData(
            change,
            signed(
              bob,
              { namespace: "bank", body: { kind: "apply", documents: [service("bank/teller")] } },
              change.data.events,
            ),
          ),
        ),
      ),
    "stranger",
    6,
  ],
  [
    "an operator signs who is none any more",
    () => appended("shop", signed(bob, { namespace: "shop", body: grant("*") }, [grantOf(3, "*")])),
    "stranger",
    9,
  ],
  [
    "bytes are damaged",
    () => stored.map((one) => (one.revision === 5 ? { ...one, bytes: one.bytes.slice(7) } : one)),
    "unreadable",
    5,
  ],
  [
    "an event is one that nobody knows",
    () => edited(5, (change) => withData(change, { events: [{ type: "Backdoor" } as never] })),
    "unreadable",
    5,
  ],
  [
    "all of it is written anew under another founder",
    () => build({ ...eve, name: "ada" }).stored,
    "edited",
    1,
    "noted",
  ],
];

beforeAll(async () => {
  const { mark, heads } = await verifyStored(stored);
  const [first] = stored.map(({ bytes }) => recordedChange(bytes, 1).hash);
  noted.push({ mark, heads, ...(first === undefined ? {} : { first }) });
});

describe("a ledger that nobody touched", () => {
  test("is found sound, also against what was noted of it and after more has come", async () => {
    expect((await verifyStored(stored, noted)).problems).toEqual([]);
    const more = build();
    more.command(ada, "bank", { kind: "delete", keys: ["Service/bank/teller"] });
    const {
      problems,
      signed: count,
      notes,
    } = await verifyStored([...stored, ...more.stored.slice(stored.length)], noted);
    expect([problems, notes, count]).toEqual([[], [], 8]);
  });

  test("may hold what the control plane does by itself", async () => {
    const ledger = build();
    const rotation = { kind: "rotate-root", action: "start" } as const;
    const draft = signed(ada, { namespace: "_mesh", body: rotation }, [{ type: "RootRotationStarted", from: "aa" }]);
    ledger.append("_mesh", draft);
    for (const type of ["RootActivated", "RootRetired"] as const)
      ledger.unsigned("_mesh", [{ type, fingerprint: "aa" }]);
    expect((await verifyStored(ledger.stored)).problems).toEqual([]);
    ledger.unsigned("_mesh", [{ type: "RootActivated", fingerprint: "bb" }]);
    expect((await verifyStored(ledger.stored)).problems).toMatchObject([{ kind: "unsigned", revision: 12 }]);
  });

  test("may hold what the control plane does after a change of roots was called off, and no more", async () => {
    const rotate = (ledger: SignedLedger, action: "start" | "abort", event: DomainEvent): void => {
      const body = { kind: "rotate-root", action } as const;
      ledger.append("_mesh", signed(ada, { namespace: "_mesh", body, reason: action }, [event]));
    };
    const next = { type: "RootAdded", fingerprint: "bb", pem: "PEM" } as const;
    const ledger = build();
    rotate(ledger, "start", { type: "RootRotationStarted", from: "aa" });
    ledger.unsigned("_mesh", [next]);
    rotate(ledger, "abort", { type: "RootRotationAborted" });
    ledger.unsigned("_mesh", [{ type: "RootRetired", fingerprint: "bb" }]);
    expect((await verifyStored(ledger.stored)).problems).toEqual([]);
    ledger.unsigned("_mesh", [{ ...next, fingerprint: "cc" }]);
    expect((await verifyStored(ledger.stored)).problems).toMatchObject([{ kind: "unsigned", revision: 13 }]);

    const early = build();
    rotate(early, "start", { type: "RootRotationStarted", from: "aa" });
    rotate(early, "abort", { type: "RootRotationAborted" });
    early.unsigned("_mesh", [next]);
    expect((await verifyStored(early.stored)).problems).toMatchObject([{ kind: "unsigned", revision: 11 }]);
  });

  test("is found by a head of sixteen digits", async () => {
    const { mark } = await verifyStored(stored.slice(0, 5));
    const short = { revision: 5, digest: mark.digest.slice(0, 16) };
    expect((await verifyStored(stored, [{ mark: short }])).problems).toEqual([]);
    const other = { revision: 5, digest: "0123456789abcdef" };
    expect((await verifyStored(stored, [{ mark: other }])).problems).toMatchObject([{ kind: "edited", revision: 5 }]);
  });
});

describe("tampering is found where it was done:", () => {
  for (const [name, attack, kind, revision, against] of ATTACKS) {
    test(name, async () => {
      const { problems } = await verifyStored(attack(), against === undefined ? [] : noted);
      expect(problems.map((problem) => [problem.kind, problem.revision])).toContainEqual([kind, revision]);
      // Nothing before the place is accused.
      expect(Math.min(...problems.map((problem) => problem.revision))).toBeGreaterThanOrEqual(revision - 1);
      // Whatever was done, what was noted gives it away as well, unless it only came on top.
      if (attack().length <= stored.length) expect((await verifyStored(attack(), noted)).problems).not.toEqual([]);
    });
  }
});

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

/** Every way to alter a ledger that came to mind: each is found, and said to be where it is. */

import { beforeAll, describe, expect, test } from "bun:test";
import { recordedChange } from "../../src/events/chain.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import type { NotedLedger, ProofProblem } from "../../src/replay/verify.ts";
import { service } from "../events/scenario.ts";
import { type SignedLedger, type Stored, signed, verifyStored } from "./signed-ledger.ts";
import {
  ada,
  added,
  appended,
  bob,
  build,
  changeAt,
  edited,
  eve,
  grant,
  grantOf,
  rechained,
  renumbered,
  stored,
  swapped,
  withData,
  without,
} from "./tampered-ledger.ts";

const noted: NotedLedger[] = [];
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
  [
    "an old one is carried out again, and chained",
    () => rechained([...stored, ...stored.slice(1, 2)]),
    "duplicated",
    9,
  ],
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

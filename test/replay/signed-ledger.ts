/** A ledger whose changes are signed as operators sign them, in memory, for whoever wants to tamper with one. */

import { composeChange } from "../../src/control/ledger.ts";
import { encodeChange, recordedChange, sha256Hex } from "../../src/events/chain.ts";
import { type Change, FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import type { CommandBody, CommandRequest } from "../../src/events/commands.ts";
import { decide } from "../../src/events/decide.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { commandMismatch, decisionDigest, signatureState } from "../../src/events/signature.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { createUserKey, sign, type UserKey } from "../../src/nats/keys.ts";
import { type NotedLedger, type UnreadableChange, type Verification, verifyLedger } from "../../src/replay/verify.ts";

export interface Signer extends UserKey {
  readonly name: string;
}

export function signer(name: string): Signer {
  return { name, ...createUserKey() };
}

/** What the log holds at one place. */
export interface Stored {
  readonly revision: number;
  readonly bytes: Uint8Array;
}

export class SignedLedger {
  readonly stored: Stored[] = [];
  readonly #heads = new Map<string, string>();
  #state: MeshState = INITIAL_STATE;

  get state(): MeshState {
    return this.#state;
  }

  /** A command as its operator signs it, with what it leads to. */
  command(by: Signer, namespace: string, body: CommandBody, reason = ""): Change {
    const decision = decide(this.#state, { namespace, body });
    if (!decision.ok) throw new Error(JSON.stringify(decision.error));
    return this.append(namespace, signed(by, { namespace, body, reason }, [...decision.value.events]));
  }

  /** What the control plane records on its own. */
  unsigned(namespace: string, events: DomainEvent[], kind = "bootstrap"): Change {
    const command = { kind, id: `command-${this.stored.length + 1}`, digest: sha256Hex("nothing") };
    return this.append(namespace, { actor: { name: "heddle" }, reason: "", command, events });
  }

  append(namespace: string, draft: Parameters<typeof composeChange>[0]): Change {
    const revision = this.stored.length + 1;
    const previous = this.#heads.get(namespace) ?? FIRST_PREVIOUS;
    const nowMs = Date.UTC(2026, 0, 1, revision);
    const change = composeChange(draft, { namespace, id: `change-${revision}`, nowMs, previous });
    const bytes = encodeChange(change);
    const recorded = recordedChange(bytes, revision);
    this.stored.push({ revision, bytes });
    this.#heads.set(namespace, recorded.hash);
    this.#state = foldChange(this.#state, recorded);
    return change;
  }
}

/** A change's own part, signed together with the decision, as the command line does it. */
export function signed(
  by: Signer,
  { namespace, body, reason = "" }: { namespace: string; body: CommandBody; reason?: string },
  events: DomainEvent[],
) {
  const request: CommandRequest = {
    id: `command-of-${by.name}-${namespace}-${reason}`,
    time: "2026-01-01T00:00:00.000Z",
    namespace,
    reason,
    dryRun: false,
    seen: { revision: 0, digest: decisionDigest(namespace, events) },
    body,
  };
  const text = JSON.stringify(request);
  const digest = sha256Hex(text);
  const signature = Buffer.from(sign(by.seed, new TextEncoder().encode(digest))).toString("base64url");
  return {
    actor: { name: by.name, publicKey: by.publicKey },
    reason,
    command: { kind: body.kind, id: request.id, digest, signature, text },
    events,
  };
}

/** As a log would hand them over. */
export function entriesOf(stored: readonly Stored[]): (RecordedChange | UnreadableChange)[] {
  return stored.map(({ revision, bytes }) => {
    try {
      return recordedChange(bytes, revision);
    } catch (error) {
      return { revision, unreadable: String(error) };
    }
  });
}

export function verifyStored(stored: readonly Stored[], noted: readonly NotedLedger[] = []): Promise<Verification> {
  return verifyLedger(entriesOf(stored), { signatureOf: signatureState, mismatchOf: commandMismatch, noted });
}

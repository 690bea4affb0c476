/** Takes commands from operators, decides them on the state as of now, and records what was decided. */

import type { RecordedChange } from "../events/change.ts";
import type { Decision } from "../events/commands.ts";
import { decide } from "../events/decide.ts";
import type { DecisionContext } from "../events/decision-plan.ts";
import { describeChange } from "../events/describe.ts";
import { workOfOthers } from "../events/later-work.ts";
import { decisionDigest, KEPT_COMMAND_LENGTH_MAX } from "../events/signature.ts";
import type { MeshState, Operator } from "../events/state.ts";
import type { Bus, BusMessage } from "../nats/bus.ts";
import { CONTROL_QUEUE, subjects } from "../nats/subjects.ts";
import type { Logger } from "../telemetry/logger.ts";
import { authorize, readCommand, refused, type SignedRequest } from "./admission.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { type Ledger, namespaceRevision } from "./ledger.ts";
import type { PastStates } from "./past-states.ts";
import type { CommandReply } from "./protocol.ts";
import type { RecentCommands } from "./recent-commands.ts";

/** Commands that wait or are being decided; each may hold 4 MiB. */
const COMMANDS_MAX = 64;
/** Appends of one command that may lose in a row; each is lost to another change, so this many mean a crowd. */
const APPENDS_MAX = 8;
/** Changes that a conflict tells of; the latest matter. */
const INTERVENING_MAX = 50;
/** Changes that were recorded just before the start, whose commands must not be carried out again. */
const REMEMBERED_CHANGES = 1_000;

export interface CommandServiceOptions {
  readonly bus: Bus;
  readonly ledger: Ledger;
  /** Told of every change that is folded: a command that another replica has carried out is not carried out again. */
  readonly recent: RecentCommands;
  /** The mesh as it was. */
  readonly past: PastStates;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * What the operator agreed to: the decision that it must still be, and the namespace's revision that it was made on.
 */
interface Expectation {
  readonly revision: number;
  readonly digest: string;
}

export class CommandService {
  readonly #options: CommandServiceOptions;
  readonly #queue = new KeyedQueue(COMMANDS_MAX);
  #stopListening: (() => void) | undefined;

  constructor(options: CommandServiceOptions) {
    this.#options = options;
  }

  /** Remembers what was carried out of late, then listens; replicas share the commands as one queue group. */
  async start(): Promise<void> {
    const { bus, ledger, recent } = this.#options;
    const last = await ledger.log.lastRevision();
    const from = Math.max(1, last - REMEMBERED_CHANGES);
    for await (const change of ledger.log.read({ from, to: last })) recent.recorded(change);
    const subscription = bus.subscribe(subjects.allCommands, (message) => this.#answer(message), {
      queue: CONTROL_QUEUE,
    });
    this.#stopListening = () => subscription.stop();
  }

  /** Takes no more commands, and resolves when those that were taken are answered. */
  async stop(): Promise<void> {
    this.#stopListening?.();
    await this.#queue.idle();
  }

  async #answer(message: BusMessage): Promise<void> {
    const reply = await this.#reply(message);
    message.respond(new TextEncoder().encode(JSON.stringify(reply)));
  }

  async #reply(message: BusMessage): Promise<CommandReply> {
    const { logger, now } = this.#options;
    const read = readCommand(message, now());
    if (!read.ok) {
      logger.warn({ subject: message.subject, problems: read.error.problems }, "command refused at the door");
      return read.error;
    }
    const { request } = read.value;
    try {
      const work = this.#queue.run(request.namespace, () => this.#carryOut(read.value));
      return (await work) ?? refused("", "the control plane is busy: try again").error;
    } catch (error) {
      logger.error({ err: error, command: request.id, namespace: request.namespace }, "command failed");
      const cause = error instanceof Error ? error.message : String(error);
      const message = `the command could not be carried out, or its outcome is not known (see heddle log): ${cause}`;
      return refused("", message).error;
    }
  }

  /** Decides and records, again where somebody else was first and it comes out the same. */
  async #carryOut(signed: SignedRequest): Promise<CommandReply> {
    const { ledger, now } = this.#options;
    const { publicKey, request } = signed;
    const { namespace } = request;
    let expectation: Expectation | undefined = request.seen;
    for (let attempt = 0; attempt < APPENDS_MAX; attempt++) {
      const state = await ledger.latest();
      const operator = authorize(state, publicKey, namespace);
      if (!operator.ok) return operator.error;
      // Asked after catching up, which is how commands that another replica has carried out become known.
      if (attempt === 0 && !this.#options.recent.add(publicKey, request.id, now())) {
        return refused("id", `the command ${request.id} was received before`).error;
      }
      const decision = decide(state, request, await this.#context(state, signed));
      const basedOn = namespaceRevision(state, namespace);
      const digest = decision.ok ? decisionDigest(namespace, decision.value.events) : undefined;
      if (expectation !== undefined && digest !== expectation.digest) {
        const changes = await this.#intervening(namespace, expectation.revision, basedOn);
        if (changes.length > 0) return { kind: "conflict", changes };
        if (decision.ok) return refused("seen", "what was seen is not what this command leads to").error;
      }
      if (!decision.ok) return { kind: "refused", problems: [...decision.error.problems] };
      const decided = { ...toReply(decision.value), basedOn, digest: decisionDigest(namespace, decision.value.events) };
      if (request.dryRun || decided.events.length === 0) return decided;
      const appended = await ledger.append(state, namespace, toDraft(signed, operator.value, decision.value));
      if (appended.ok) return { ...decided, revision: await this.#settle(appended.value, operator.value) };
      expectation = { revision: basedOn, digest: decided.digest };
    }
    return refused("", `others keep changing ${namespace}: try again`).error;
  }

  /** The change stands, whatever comes now. The own state is to include it, so that whoever asks next is told of it. */
  async #settle({ revision, namespace, change }: RecordedChange, { name }: Operator): Promise<number> {
    const { ledger, logger } = this.#options;
    logger.info({ revision, namespace, actor: name, command: change.data.command.kind }, "change recorded");
    await ledger.folded(revision).catch((error: unknown) => {
      logger.warn({ err: error, revision }, "change recorded, and not folded yet");
    });
    return revision;
  }

  async #context(state: MeshState, { publicKey, request }: SignedRequest): Promise<DecisionContext> {
    const { past, ledger } = this.#options;
    const { namespace, body } = request;
    // A revision that has not come yet is refused without a look at it.
    if (body.kind === "revert" && body.revision <= state.revision) {
      return { reverted: { before: await past.at(body.revision - 1), after: await past.at(body.revision) } };
    }
    if (body.kind !== "rollback" || body.toRevision > state.revision) return {};
    if (body.toRevision === state.revision) return { target: state };
    const target = await past.at(body.toRevision);
    // What is consented to need not be looked at.
    const from = Math.max(body.toRevision, body.othersUpTo ?? 0) + 1;
    const to = namespaceRevision(state, namespace);
    if (from > to) return { target };
    return { target, others: await workOfOthers(ledger.log.read({ from, to, namespace }), publicKey) };
  }

  async #intervening(namespace: string, after: number, upTo: number) {
    const changes = await this.#options.ledger.changesBetween(namespace, after, upTo, INTERVENING_MAX);
    return changes.map((recorded) => ({
      revision: recorded.revision,
      actor: recorded.change.data.actor.name,
      time: recorded.change.time,
      reason: recorded.change.data.reason,
      lines: describeChange(recorded),
    }));
  }
}

function toReply({ events, warnings }: Decision) {
  return { kind: "decided" as const, events: [...events], warnings: [...warnings] };
}

function toDraft(signed: SignedRequest, { name }: Operator, { events }: Decision) {
  const { publicKey, request, digest, signature, text } = signed;
  const kept = text.length <= KEPT_COMMAND_LENGTH_MAX ? { text } : {};
  return {
    actor: { name, publicKey },
    reason: request.reason,
    command: { kind: request.body.kind, id: request.id, digest, signature, ...kept },
    events: [...events],
  };
}

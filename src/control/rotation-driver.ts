/**
 * Takes the steps from one root to the next, each once it can cut nobody off any more: add the new root, let it sign,
 * retire the old one. Progress is in the ledger, so that any replica goes on where another one died; the ledger's
 * conditional append keeps several replicas from taking the same step twice.
 */

import type { AuthorityKeeper } from "../ca/authority-keeper.ts";
import { sha256Hex } from "../events/chain.ts";
import { SYSTEM_ACTOR } from "../events/commands.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { activeRoot, type MeshState, type RootRotation } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Acknowledgements, Unacknowledged } from "./acknowledgements.ts";
import type { Ledger } from "./ledger.ts";
import { repeat } from "./periodic.ts";

/** Between two looks at who has acknowledged. */
const LOOK_EVERY_MS = 500;

export interface RotationDriverOptions {
  readonly ledger: Pick<Ledger, "latest" | "append">;
  readonly keeper: AuthorityKeeper;
  readonly acknowledgements: Pick<Acknowledgements, "missing">;
  /** A new unique id. */
  readonly newId: () => string;
  readonly logger: Logger;
}

/** What comes next. */
type Step =
  | { readonly kind: "add" }
  | { readonly kind: "append"; readonly event: DomainEvent }
  | { readonly kind: "wait"; readonly for: readonly Unacknowledged[] };

export class RotationDriver {
  readonly #options: RotationDriverOptions;
  #waiting: readonly Unacknowledged[] = [];
  /** What was last complained about, so that it is not said twice a second. */
  #complaint: string | undefined;

  constructor(options: RotationDriverOptions) {
    this.#options = options;
  }

  /** Looks from time to time, until what is returned is called. */
  start(state: () => MeshState): () => Promise<void> {
    return repeat(LOOK_EVERY_MS, () => this.#look(state()));
  }

  /** Why the next step is not taken yet, as of the last look. */
  waiting(): readonly Unacknowledged[] {
    return this.#waiting;
  }

  async #look(state: MeshState): Promise<void> {
    try {
      await this.#followActiveRoot(state);
      if (state.rotation !== undefined) await this.#advance();
      this.#waiting = state.rotation === undefined ? [] : this.#waiting;
      this.#complaint = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#waiting = [{ instance: "*", service: "control", why }];
      if (why !== this.#complaint) this.#options.logger.error({ reason: why }, "the change of roots cannot go on");
      this.#complaint = why;
    }
  }

  /** Signs with whatever root the ledger says. */
  async #followActiveRoot({ roots }: MeshState): Promise<void> {
    const { keeper, logger } = this.#options;
    const root = activeRoot(roots)?.fingerprint;
    if (root === undefined || root === keeper.current.rootFingerprint) return;
    await keeper.use(root);
    logger.info({ root }, "certificates are signed under another root now");
  }

  async #advance(): Promise<void> {
    const { ledger } = this.#options;
    // Decided on the state that the append is conditional upon.
    const state = await ledger.latest();
    const step = state.rotation === undefined ? undefined : this.#next(state, state.rotation);
    if (step === undefined) return;
    this.#waiting = step.kind === "wait" ? step.for : [];
    if (step.kind === "add") await this.#add(state);
    else if (step.kind === "append") await this.#append(state, step.event);
  }

  #next({ roots }: MeshState, { from, to, paused, step }: RootRotation): Step {
    const { acknowledgements } = this.#options;
    if (paused) return { kind: "wait", for: [{ instance: "*", service: "*", why: "paused: heddle ca resume" }] };
    if (to === undefined) return { kind: "add" };
    const isActive = roots.get(to)?.status === "active";
    const missing = acknowledgements.missing({ revision: step, ...(isActive ? { root: to } : {}) });
    if (missing.length > 0) return { kind: "wait", for: missing };
    const event: DomainEvent = isActive
      ? { type: "RootRetired", fingerprint: from }
      : { type: "RootActivated", fingerprint: to };
    return { kind: "append", event };
  }

  async #add(state: MeshState): Promise<void> {
    const next = await this.#options.keeper.prepareNext(new Set(state.roots.keys()));
    await this.#append(state, { type: "RootAdded", fingerprint: next.rootFingerprint, pem: next.rootPem });
  }

  async #append(state: MeshState, event: DomainEvent): Promise<void> {
    const { ledger, keeper, newId, logger } = this.#options;
    // The root must be able to sign from the moment on that it is to.
    if (event.type === "RootActivated") await keeper.open(event.fingerprint);
    const events = [event];
    const command = { kind: "rotate-root", id: newId(), digest: sha256Hex(canonicalJson(events)) };
    const reason = "every sidecar has acknowledged the step before";
    const draft = { actor: { name: SYSTEM_ACTOR }, reason: event.type === "RootAdded" ? "" : reason, command, events };
    const appended = await ledger.append(state, MESH_NAMESPACE, draft);
    // Whoever was first has taken this step, or has changed what comes next.
    if (appended.ok)
      logger.info({ revision: appended.value.revision, step: event.type }, "a step of the change of roots");
  }
}

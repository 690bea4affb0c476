/**
 * `rotate-root` and `add-root`: how an operator starts, holds up and calls off the change from one root to the next.
 */

import { X509Certificate } from "node:crypto";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Decision, Refusal } from "./commands.ts";
import { problem, refuse } from "./decision-plan.ts";
import type { DomainEvent } from "./domain-events.ts";
import { activeRoot, type MeshState } from "./state.ts";

export type RootCommand = Extract<CommandBody, { kind: "rotate-root" | "add-root" }>;
type Action = Extract<CommandBody, { kind: "rotate-root" }>["action"];

/** Roots that are trusted at once; a rotation needs two. */
const TRUSTED_ROOTS_MAX = 8;

/** Refuses steps that the state of the rotation does not allow. */
export function decideRoots(state: MeshState, namespace: string, body: RootCommand): Result<Decision, Refusal> {
  if (namespace !== MESH_NAMESPACE) {
    return refuse(problem("namespace", `roots are the whole mesh's: this is a command for ${MESH_NAMESPACE}`));
  }
  return body.kind === "add-root" ? addRoot(state, body) : rotate(state, body.action);
}

/** A root whose key is elsewhere. With no rotation under way it is only trusted; with one, it is the next to sign. */
function addRoot(
  { roots, rotation }: MeshState,
  { fingerprint, pem }: Extract<RootCommand, { kind: "add-root" }>,
): Result<Decision, Refusal> {
  const fault = rootFault(fingerprint, pem);
  if (fault !== undefined) return refuse(problem("pem", fault));
  const known = roots.get(fingerprint);
  if (known?.status === "retired") return refuse(problem("pem", "this root was retired: make a new one"));
  if (known !== undefined) return decision([], "this root is trusted already");
  const trusted = [...roots.values()].filter(({ status }) => status !== "retired").length;
  if (trusted >= TRUSTED_ROOTS_MAX) return refuse(problem("pem", `${trusted} roots are trusted already: retire some`));
  const added: DomainEvent = { type: "RootAdded", fingerprint, pem };
  const active = activeRoot(roots);
  // It is to replace the root in force: this starts the rotation, unless one is under way.
  if (rotation !== undefined || active === undefined) return decision([added]);
  return decision([{ type: "RootRotationStarted", from: active.fingerprint }, added]);
}

/** What keeps a text from being the root that it is said to be. More is checked where it is installed. */
function rootFault(fingerprint: string, pem: string): string | undefined {
  try {
    const certificate = new X509Certificate(pem);
    if (!certificate.ca) return "the certificate is no signing certificate";
    const found = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    return found === fingerprint ? undefined : `the certificate's fingerprint is ${found}, not ${fingerprint}`;
  } catch {
    return "this is no certificate in PEM";
  }
}

function rotate({ roots, rotation }: MeshState, action: Action): Result<Decision, Refusal> {
  if (action === "start") {
    if (rotation !== undefined) return decision([], "a change of roots is under way already: heddle ca status");
    const active = activeRoot(roots);
    if (active === undefined) return refuse(problem("", "no root is active, so that there is none to replace"));
    return decision([{ type: "RootRotationStarted", from: active.fingerprint }]);
  }
  if (rotation === undefined) return refuse(problem("", "no change of roots is under way: heddle ca rotate"));
  switch (action) {
    case "pause":
      return rotation.paused ? decision([], "it is paused already") : decision([{ type: "RootRotationPaused" }]);
    case "resume":
      return rotation.paused ? decision([{ type: "RootRotationResumed" }]) : decision([], "it is not paused");
    case "abort": {
      const goesBack = roots.get(rotation.from)?.status === "added";
      const back: DomainEvent[] = goesBack ? [{ type: "RootActivated", fingerprint: rotation.from }] : [];
      return decision([...back, { type: "RootRotationAborted" }]);
    }
    default: {
      const unheard: never = action;
      return unheard;
    }
  }
}

function decision(events: readonly DomainEvent[], ...warnings: readonly string[]): Result<Decision, Refusal> {
  return ok({ events, warnings });
}

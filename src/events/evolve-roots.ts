/** Trust roots from events, and how far the change from one to the next has come. */

import type { DomainEvent } from "./domain-events.ts";
import type { MeshState, Origin, RootRotation, TrustRoot } from "./state.ts";

export type Roots = Pick<MeshState, "roots" | "rotation">;
export type RootEvent = Extract<
  DomainEvent,
  {
    type:
      | "RootAdded"
      | "RootActivated"
      | "RootRetired"
      | "RootRotationStarted"
      | "RootRotationPaused"
      | "RootRotationResumed"
      | "RootRotationAborted";
  }
>;

export function isRootEvent(event: DomainEvent): event is RootEvent {
  return event.type.startsWith("Root");
}

/** The roots and the rotation after one event. */
export function evolveRoots({ roots, rotation }: Roots, event: RootEvent, origin: Origin): Roots {
  switch (event.type) {
    case "RootAdded": {
      const { fingerprint, pem } = event;
      const next = new Map(roots).set(fingerprint, { fingerprint, pem, status: "added" } as const);
      const isNext = rotation !== undefined && rotation.to === undefined;
      return { roots: next, rotation: isNext ? stepped({ ...rotation, to: fingerprint }, origin) : rotation };
    }
    case "RootActivated":
      return { roots: withActiveRoot(roots, event.fingerprint), rotation: rotation && stepped(rotation, origin) };
    case "RootRetired":
      return {
        roots: withRootStatus(roots, event.fingerprint, "retired"),
        rotation: rotation?.from === event.fingerprint ? undefined : rotation,
      };
    case "RootRotationStarted":
      return { roots, rotation: { from: event.from, to: undefined, paused: false, step: origin.revision, origin } };
    case "RootRotationPaused":
      return { roots, rotation: rotation && { ...rotation, paused: true } };
    case "RootRotationResumed":
      return { roots, rotation: rotation && { ...rotation, paused: false } };
    case "RootRotationAborted":
      return { roots, rotation: rotation && reversed(rotation, origin) };
    default: {
      const unheard: never = event;
      return unheard;
    }
  }
}

function stepped(rotation: RootRotation, { revision }: Origin): RootRotation {
  return { ...rotation, step: revision };
}

/**
 * The same steps in reverse: now the new root is the one to retire. Where none was added yet, nothing is left to undo.
 * The revision that everybody must enforce stays as it was, since calling off changes no snapshot; unless the former
 * root is to sign again, which is an event of its own before this one.
 */
function reversed({ from, to, ...rest }: RootRotation, origin: Origin): RootRotation | undefined {
  return to === undefined ? undefined : { ...rest, from: to, to: from, paused: false, origin };
}

/** One root signs at a time; the one before it stays trusted until it is retired. */
function withActiveRoot(roots: Roots["roots"], fingerprint: string): Roots["roots"] {
  if (!roots.has(fingerprint)) return roots;
  const next = new Map(roots);
  for (const root of roots.values()) {
    if (root.fingerprint === fingerprint) next.set(fingerprint, { ...root, status: "active" });
    else if (root.status === "active") next.set(root.fingerprint, { ...root, status: "added" });
  }
  return next;
}

function withRootStatus(roots: Roots["roots"], fingerprint: string, status: TrustRoot["status"]): Roots["roots"] {
  const root = roots.get(fingerprint);
  return root === undefined ? roots : new Map(roots).set(fingerprint, { ...root, status });
}

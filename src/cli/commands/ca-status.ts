/** The roots of a mesh and the change from one to the next, as people and machines are shown it. */

import { X509Certificate } from "node:crypto";
import type { RotationReply } from "../../control/protocol.ts";
import type { MeshState } from "../../events/state.ts";
import { formatRelative } from "../input/moment.ts";
import { askRotation } from "../mesh/command-client.ts";
import type { OperatorContext } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { type Paint, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

/** What `heddle ca status` shows, for machines as it is. */
export interface RotationView {
  readonly roots: readonly {
    readonly fingerprint: string;
    readonly status: "added" | "active" | "retired";
    readonly notAfter: string | null;
  }[];
  readonly federation: readonly { readonly trustDomain: string; readonly roots: number; readonly revision: number }[];
  readonly rotation: {
    readonly from: string;
    readonly to: string | null;
    readonly paused: boolean;
    /** What happens at present, in words. */
    readonly step: string;
    readonly waiting: RotationReply["waiting"];
    readonly startedBy: string;
    readonly revision: number;
  } | null;
}

/** Reads the roots from the ledger, and asks the control plane what a rotation waits for. */
export async function rotationView(context: OperatorContext): Promise<RotationView> {
  const state = await currentState(context);
  const waiting = state.rotation === undefined ? [] : (await askRotation(context)).waiting;
  const { rotation } = state;
  return {
    roots: [...state.roots.values()].map(({ fingerprint, pem, status }) => {
      return { fingerprint, status, notAfter: endOf(pem) };
    }),
    federation: [...state.federation].map(([trustDomain, { roots, origin }]) => {
      return { trustDomain, roots: roots.length, revision: origin.revision };
    }),
    rotation:
      rotation === undefined
        ? null
        : {
            from: rotation.from,
            to: rotation.to ?? null,
            paused: rotation.paused,
            step: stepOf(state),
            waiting,
            startedBy: rotation.origin.actor,
            revision: rotation.step,
          },
  };
}

function stepOf({ roots, rotation }: MeshState): string {
  if (rotation === undefined) return "nothing is under way";
  if (rotation.paused) return "paused";
  if (rotation.to === undefined) return "a new root is to be added";
  const isActive = roots.get(rotation.to)?.status === "active";
  return isActive ? "waiting until every certificate is under the new root" : "waiting until every sidecar trusts it";
}

/** The same for people. */
export function statusText({ roots, federation, rotation }: RotationView, paint: Paint, nowMs: number): string {
  const rows = roots.map(({ fingerprint, status, notAfter }) => [
    fingerprint.slice(0, 12),
    status === "active" ? paint("green", "signs") : status === "added" ? "trusted" : paint("dim", status),
    notAfter === null ? "" : `${notAfter} (${formatRelative(Date.parse(notAfter), nowMs)})`,
  ]);
  const own = table(["root", "state", "expires"], rows).trimEnd();
  const others = federation.map(({ trustDomain, roots: count, revision }) => {
    return `trusts workloads of ${safeText(trustDomain)} by ${count} of its roots (revision ${revision})`;
  });
  const head = [own, ...(others.length === 0 ? [] : ["", ...others])].join("\n");
  if (rotation === null) return head;
  const { from, to, step, waiting, startedBy } = rotation;
  const next = to === null ? "a new one" : to.slice(0, 12);
  return [
    head,
    "",
    `changing from ${from.slice(0, 12)} to ${next}, begun by ${safeText(startedBy)}: ${step}`,
    ...waiting.map(({ instance, service, why }) => `  ${safeText(service)} ${safeText(instance)}: ${safeText(why)}`),
  ].join("\n");
}

/** RFC 3339; null for what is no certificate. */
function endOf(pem: string): string | null {
  try {
    return new Date(new X509Certificate(pem).validTo).toISOString();
  } catch {
    return null;
  }
}

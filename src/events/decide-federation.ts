/** `federate` and `unfederate`: of which other trust domains workloads are believed, and by which roots. */

import { X509Certificate } from "node:crypto";
import { sameValue } from "../policy/canonical.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Decision, Refusal } from "./commands.ts";
import { problem, refuse } from "./decision-plan.ts";
import { MESH_DEFAULTS, type MeshState } from "./state.ts";

export type FederationCommand = Extract<CommandBody, { kind: "federate" | "unfederate" }>;
type Federate = Extract<FederationCommand, { kind: "federate" }>;

/** Their roots stand in every snapshot. */
const DOMAINS_MAX = 16;

/** No events where the domain is trusted by the same roots already. */
export function decideFederation(
  state: MeshState,
  namespace: string,
  body: FederationCommand,
): Result<Decision, Refusal> {
  if (namespace !== MESH_NAMESPACE) {
    return refuse(problem("namespace", `trust is the whole mesh's: this is a command for ${MESH_NAMESPACE}`));
  }
  const { trustDomain } = body;
  const known = state.federation.get(trustDomain);
  if (body.kind === "unfederate") {
    if (known === undefined) return ok({ events: [], warnings: [`${trustDomain} is not trusted`] });
    return ok({ events: [{ type: "FederationEnded", trustDomain }], warnings: [] });
  }
  const fault = faultOf(state, body);
  if (fault !== undefined) return refuse(problem(fault.path, fault.message));
  const { roots, sequence } = body;
  if (known !== undefined && sameValue([known.roots, known.sequence], [roots, sequence])) {
    return ok({ events: [], warnings: [] });
  }
  const said = sequence === undefined ? {} : { sequence };
  return ok({ events: [{ type: "FederationTrusted", trustDomain, roots, ...said }], warnings: [] });
}

function faultOf(state: MeshState, { trustDomain, roots, sequence }: Federate) {
  const own = state.mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
  if (trustDomain === own) return { path: "trustDomain", message: `${own} is this mesh itself` };
  const known = state.federation.get(trustDomain);
  if (known === undefined && state.federation.size >= DOMAINS_MAX) {
    return { path: "trustDomain", message: `${DOMAINS_MAX} trust domains are trusted already` };
  }
  // Going back to an older bundle would bring back a root that its owner has withdrawn.
  if (known?.sequence !== undefined && sequence !== undefined && sequence < known.sequence) {
    return {
      path: "sequence",
      message: `this bundle is older (${sequence}) than the one in force (${known.sequence})`,
    };
  }
  const ours = new Set([...state.roots.keys()]);
  for (const [index, pem] of roots.entries()) {
    const message = rootFault(pem, ours);
    if (message !== undefined) return { path: `roots[${index}]`, message };
  }
  return undefined;
}

function rootFault(pem: string, ours: ReadonlySet<string>): string | undefined {
  try {
    const certificate = new X509Certificate(pem);
    if (!certificate.ca) return "the certificate is no signing certificate";
    const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    return ours.has(fingerprint) ? "this root is one of this mesh's own, and can vouch for nobody else" : undefined;
  } catch {
    return "this is no certificate in PEM";
  }
}

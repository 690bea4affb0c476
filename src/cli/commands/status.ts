/** `heddle status`: every instance and what it enforces. */

import type { Command } from "commander";
import type { StatusReply } from "../../control/protocol.ts";
import { fold } from "../../events/evolve.ts";
import { INITIAL_STATE, MESH_DEFAULTS } from "../../events/state.ts";
import { MESH_NAMESPACE, serviceRef, spiffeId } from "../../policy/names.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { askStatus } from "../mesh/command-client.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { pastState } from "../mesh/known-mesh.ts";
import { atOption, revisionOf } from "../mesh/moment-argument.ts";
import { foldPlaces } from "../output/document-place.ts";
import { note, type OutputFormat, outputOption, type Paint, painter, print, table } from "../output/output.ts";
import { pastStatus, pastStatusText } from "../output/past-status.ts";
import { safeText } from "../output/safe-text.ts";

interface StatusOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly output: OutputFormat;
  readonly at?: Moment;
}

/** What there is to say, for people and machines alike. */
interface MeshStatus {
  readonly trustDomain: string;
  /** Last revision of the ledger, and the last that the replica that answered has folded. */
  readonly ledgerRevision: number;
  readonly controlRevision: number;
  readonly services: StatusReply["services"];
  readonly instances: readonly InstanceView[];
  readonly notEnforced: readonly string[];
}

interface InstanceView {
  readonly service: string;
  readonly instance: string;
  readonly state: string;
  /** SPIFFE ID. */
  readonly identity: string;
  readonly revision: number;
  /** Revisions between what it should enforce and what it does; 0 is current. Null: its service is not declared. */
  readonly behind: number | null;
  readonly certificateExpiry: string | null;
  readonly connected: boolean;
  /** Milliseconds since its last word. */
  readonly silentMs: number;
  /** Instances of others that it leaves out of balancing: what it saw of them itself. */
  readonly avoided: readonly { readonly service: string; readonly instance: string; readonly reason: string }[];
  readonly rejected: { readonly revision: number; readonly reason: string } | null;
}

const HELP = `
BEHIND is the revision that an instance should enforce less the one that it does: 0 is current. With --at, what was to
be enforced then: which instances were running, the ledger does not know.

Example:
  heddle status -n shop
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(atOption(command))))
    .description("Show every instance of the mesh and what it enforces.")
    .addHelpText("after", HELP)
    .action(async (options: StatusOptions) => {
      await withOperator(options, async (context) => {
        if (options.at !== undefined) return showPast(context, options.at, options);
        const status = await statusOf(context, options.namespace);
        print(options.output, status, () => statusText(status, painter(process.stdout), Date.now()));
      });
    })
    .parseAsync(args, { from: "user" });
}

async function showPast(context: OperatorContext, at: Moment, { namespace, output }: StatusOptions): Promise<void> {
  const state = await pastState(context, await revisionOf(context.ledger, at));
  const status = pastStatus(state, namespace);
  print(output, status, () => pastStatusText(status, Date.now()));
}

/** Says how far the ledger is, which is known even while no control replica answers. */
async function statusOf(context: OperatorContext, namespace: string | undefined): Promise<MeshStatus> {
  const { ledger } = context;
  const ledgerRevision = await ledger.lastRevision();
  const reply = await askStatus(context).catch((error: unknown) => {
    note(`the ledger is at revision ${ledgerRevision}`);
    throw error;
  });
  const { mesh } = await fold(INITIAL_STATE, ledger.read({ namespace: MESH_NAMESPACE }));
  return meshStatus(reply, {
    // The replica may have folded a change that came after we looked.
    ledgerRevision: Math.max(ledgerRevision, reply.revision),
    trustDomain: mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain,
    namespace,
  });
}

interface Surroundings {
  readonly ledgerRevision: number;
  readonly trustDomain: string;
  readonly namespace: string | undefined;
}

/** What the control plane answered, limited to a namespace where one is meant, with how far each instance lags. */
export function meshStatus(reply: StatusReply, { ledgerRevision, trustDomain, namespace }: Surroundings): MeshStatus {
  const isMeant = (within: string): boolean => namespace === undefined || within === namespace;
  const services = reply.services.filter((service) => isMeant(service.namespace));
  const expected = new Map(services.map((service) => [serviceRef(service.namespace, service.name), service]));
  const instances = reply.instances
    .filter(({ status }) => isMeant(status.namespace))
    .map(({ status, connected, silentMs }): InstanceView => {
      const service = serviceRef(status.namespace, status.service);
      const wanted = expected.get(service)?.expectedRevision;
      return {
        service,
        instance: status.instance,
        state: status.state,
        identity: spiffeId(trustDomain, status.namespace, status.service),
        revision: status.revision,
        behind: wanted === undefined ? null : Math.max(0, wanted - status.revision),
        certificateExpiry: status.certificateExpiry ?? null,
        connected,
        silentMs,
        avoided: status.avoided ?? [],
        rejected: status.rejected ?? null,
      };
    })
    .sort((a, b) => (`${a.service} ${a.instance}` < `${b.service} ${b.instance}` ? -1 : 1));
  return {
    trustDomain,
    ledgerRevision,
    controlRevision: reply.revision,
    services,
    instances,
    notEnforced: reply.notEnforced,
  };
}

function statusText(status: MeshStatus, paint: Paint, nowMs: number): string {
  const { trustDomain, ledgerRevision, controlRevision, services, instances, notEnforced } = status;
  const running = new Set(instances.map(({ service }) => service));
  const idle = services.map(({ namespace, name }) => serviceRef(namespace, name)).filter((ref) => !running.has(ref));
  const rejections = instances.flatMap(({ service, instance, rejected }) =>
    rejected === null ? [] : [`${service} ${instance} refused revision ${rejected.revision}: ${rejected.reason}`],
  );
  const avoided = instances.flatMap(({ service, instance, avoided: others }) =>
    others.map((other) => `${service} ${instance} avoids ${other.service} ${other.instance}: ${other.reason}`),
  );
  return [
    `mesh ${safeText(trustDomain)}: the ledger is at revision ${ledgerRevision}, control at ${controlRevision}`,
    "",
    instances.length === 0
      ? "no instances have announced themselves: a sidecar does within seconds of its start"
      : instanceTable(instances, paint, nowMs),
    ...section("without instances:", idle, paint),
    ...section("refused:", rejections, paint),
    ...section("left out of balancing:", avoided, paint),
    ...section("accepted, not enforced by this version:", foldPlaces(notEnforced), paint),
  ].join("\n");
}

function section(head: string, lines: readonly string[], paint: Paint): string[] {
  return lines.length === 0 ? [] : ["", paint("bold", head), ...lines.map((line) => `  ${safeText(line)}`)];
}

function instanceTable(instances: readonly InstanceView[], paint: Paint, nowMs: number): string {
  const rows = instances.map((view) => [
    safeText(view.service),
    safeText(view.instance),
    view.connected ? view.state : paint("red", "disconnected"),
    String(view.revision),
    view.behind === null ? "undeclared" : view.behind === 0 ? "0" : paint("yellow", String(view.behind)),
    view.certificateExpiry === null ? "none" : formatRelative(Date.parse(view.certificateExpiry), nowMs),
    formatRelative(nowMs - view.silentMs, nowMs),
  ]);
  return table(["service", "instance", "state", "revision", "behind", "certificate", "heard"], rows).trimEnd();
}

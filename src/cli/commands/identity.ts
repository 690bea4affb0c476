/** `heddle identity`: who holds which certificate, and whom the mesh believes no longer. */

import { type Command, InvalidArgumentError } from "commander";
import type { StatusReply } from "../../control/protocol.ts";
import type { IdentityRevocation, MeshState } from "../../events/state.ts";
import { SERIAL } from "../../events/trust-events.ts";
import { type ServiceRef, serviceRef, spiffeId } from "../../policy/names.ts";
import { trustDomainOf } from "../../projections/call-graph.ts";
import { Failure, UsageError } from "../failure.ts";
import { formatRelative } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { type ChangeOptions, changeOptions, namespaceOption } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { askStatus } from "../mesh/command-client.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface ListOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly output: OutputFormat;
}

interface RevokeOptions extends ChangeOptions {
  readonly serial?: string;
  readonly instance?: string;
}

interface IdentityView {
  readonly service: ServiceRef;
  /** SPIFFE ID. */
  readonly identity: string;
  readonly instances: readonly {
    readonly instance: string;
    readonly serial: string | null;
    readonly certificateExpiry: string | null;
    readonly connected: boolean;
    readonly revoked: boolean;
  }[];
  readonly revocation: RevocationView | null;
}

interface RevocationView {
  readonly whole: { readonly revision: number; readonly actor: string; readonly time: string } | null;
  readonly issuedBefore: string | null;
  readonly serials: readonly string[];
  readonly instances: readonly string[];
}

const REVOKE_HELP = `
Without --serial and --instance the service as a whole is revoked: peers refuse it within a second, its connections are
closed, and nothing is signed for it until it is reinstated. With --serial one certificate is revoked, and whoever holds
it lawfully gets another. With --instance nothing more is signed for that instance, and its certificate is revoked.
An instance says its name itself: a join token that may be in the wrong hands has to be revoked as well (heddle token revoke).

Example:
  heddle identity revoke shop/orders --reason "key found in a log"
`;

const REINSTATE_HELP = `
Certificates that were issued before the revocation stay refused; the service's sidecars ask for new ones.

Example:
  heddle identity reinstate shop/orders
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Show and revoke the identities of services.");
  const list = command.command("list").description("Show every identity, who holds it, and what is revoked of it.");
  connectionOptions(outputOption(namespaceOption(list))).action((options: ListOptions) =>
    withOperator(options, async (context) => {
      const views = identityViews(await askStatus(context), await currentState(context), options.namespace);
      print(options.output, views, () => listText(views, Date.now()));
    }),
  );
  changeOptions(command.command("revoke"))
    .description("Believe an identity no longer. Acts at once.")
    .argument("<service>", "NAMESPACE/NAME, or NAME with -n")
    .option("--serial <serial>", "only the certificate with this serial number, in hex", parseSerial)
    .option("--instance <instance>", "only this instance, as `heddle identity list` names it")
    .addHelpText("after", REVOKE_HELP)
    .action(revoke);
  changeOptions(command.command("reinstate"))
    .description("Sign for an identity again. Acts at once.")
    .argument("<service>", "NAMESPACE/NAME, or NAME with -n")
    .option("--instance <instance>", "only this instance")
    .addHelpText("after", REINSTATE_HELP)
    .action(reinstate);
  await command.parseAsync(args, { from: "user" });
}

async function revoke(name: string, options: RevokeOptions): Promise<void> {
  const service = parseServiceArgument(name, options.namespace);
  const { instance } = options;
  if (instance !== undefined && options.serial !== undefined) {
    throw new UsageError("--serial and --instance contradict each other: an instance names its certificate itself");
  }
  await withOperator(options, async (context) => {
    const serial = instance === undefined ? options.serial : await serialOf(context, service, instance);
    const body = {
      kind: "revoke-identity",
      service,
      ...(serial === undefined ? {} : { serial }),
      ...(instance === undefined ? {} : { instance }),
    } as const;
    const command = { namespace: service.namespace, body };
    await changeAtOnce(context, command, options);
  });
}

async function reinstate(name: string, options: RevokeOptions): Promise<void> {
  const service = parseServiceArgument(name, options.namespace);
  const { instance } = options;
  const body = { kind: "reinstate-identity", service, ...(instance === undefined ? {} : { instance }) } as const;
  await withOperator(options, async (context) => {
    const command = { namespace: service.namespace, body };
    await changeAtOnce(context, command, options);
  });
}

/** The certificate that an instance has now. Undefined where it has none; rejects where nobody has heard of it. */
async function serialOf(
  context: OperatorContext,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  instance: string,
): Promise<string | undefined> {
  const { instances } = await askStatus(context);
  const own = instances.filter(({ status }) => status.namespace === namespace && status.service === name);
  const found = own.find(({ status }) => status.instance === instance);
  if (found !== undefined) return found.status.certificateSerial;
  const known = own.map(({ status }) => safeText(status.instance)).join(", ") || "none";
  throw new Failure(`no instance ${safeText(instance)} of ${namespace}/${name} has been heard; there are: ${known}`);
}

function identityViews(reply: StatusReply, state: MeshState, within: string | undefined): IdentityView[] {
  const names = new Map<ServiceRef, { namespace: string; name: string }>();
  const add = (namespace: string, name: string): void => {
    if (within === undefined || within === namespace) names.set(serviceRef(namespace, name), { namespace, name });
  };
  for (const { namespace, name } of reply.services) add(namespace, name);
  for (const { status } of reply.instances) add(status.namespace, status.service);
  for (const [namespace, { revocations }] of state.namespaces) {
    for (const name of revocations.keys()) add(namespace, name);
  }
  return [...names]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([service, { namespace, name }]) => {
      const revocation = state.namespaces.get(namespace)?.revocations.get(name);
      return {
        service,
        identity: spiffeId(trustDomainOf(state), namespace, name),
        instances: reply.instances
          .filter(({ status }) => status.namespace === namespace && status.service === name)
          .map(({ status, connected }) => ({
            instance: status.instance,
            serial: status.certificateSerial ?? null,
            certificateExpiry: status.certificateExpiry ?? null,
            connected,
            revoked: isRevoked(revocation, status),
          })),
        revocation: revocation === undefined ? null : revocationView(revocation),
      };
    });
}

function isRevoked(
  revocation: IdentityRevocation | undefined,
  { instance, certificateSerial = "" }: StatusReply["instances"][number]["status"],
): boolean {
  if (revocation === undefined) return false;
  const { whole, instances, serials } = revocation;
  return whole !== undefined || instances.has(instance) || serials.has(certificateSerial);
}

function revocationView({ whole, issuedBefore, serials, instances }: IdentityRevocation): RevocationView {
  return {
    whole: whole ?? null,
    issuedBefore: issuedBefore ?? null,
    serials: [...serials.keys()],
    instances: [...instances.keys()],
  };
}

function listText(views: readonly IdentityView[], nowMs: number): string {
  if (views.length === 0) return "there are no identities";
  const rows = views.flatMap(({ identity, instances, revocation }) => {
    const whole = revocation?.whole ?? undefined;
    const said = whole && `revoked by ${safeText(whole.actor)} at revision ${whole.revision}`;
    if (instances.length === 0) return [[safeText(identity), "none", "", "", said ?? partialText(revocation)]];
    return instances.map((one) => [
      safeText(identity),
      safeText(one.instance),
      one.serial ?? "none",
      one.certificateExpiry === null ? "none" : formatRelative(Date.parse(one.certificateExpiry), nowMs),
      said ?? (one.revoked ? "revoked" : one.connected ? "good" : "disconnected"),
    ]);
  });
  return table(["identity", "instance", "serial", "expires", "state"], rows).trimEnd();
}

function partialText(revocation: RevocationView | null): string {
  if (revocation === null) return "";
  const { serials, instances, issuedBefore } = revocation;
  if (serials.length + instances.length > 0) {
    return `${serials.length} certificates and ${instances.length} instances revoked`;
  }
  return issuedBefore === null ? "" : `certificates from before ${issuedBefore} refused`;
}

/** As printed by other tools as well: with colons, in capitals, with leading zeros. */
function parseSerial(text: string): string {
  const serial = text.replaceAll(":", "").toLowerCase();
  if (SERIAL.test(serial)) return serial.length % 2 === 0 ? serial : `0${serial}`;
  throw new InvalidArgumentError("A serial number is written in hex, as `openssl x509 -serial` prints it.");
}

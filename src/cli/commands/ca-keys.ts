/** `heddle ca csr`, `install` and `protect`: what is done with the authority's keys where they are kept. */

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { FileCustody } from "../../ca/file-custody.ts";
import { installIssuer, issuingRequest } from "../../ca/install.ts";
import { activeRoot } from "../../events/state.ts";
import { openDirectory } from "../../nats/directory.ts";
import { writePrivateFile } from "../../nats/private-file.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import { Failure } from "../failure.ts";
import { caKeyFileOption, readSeal } from "../mesh/ca-secret.ts";
import { type ConnectionOptions, directoryPath, withOperator } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { sendDirectly } from "../mesh/proposal.ts";
import { note, printText } from "../output/output.ts";

interface KeysOptions {
  readonly dir?: string;
  readonly caDir?: string;
  readonly trustDomain?: string;
  readonly caKeyFile?: string;
}

interface InstallOptions extends KeysOptions, ConnectionOptions {
  readonly root: string;
  readonly offline?: true;
  readonly reason: string;
}

/** Where the authority keeps its keys, and for which mesh. */
interface Keys {
  readonly custody: FileCustody;
  readonly trustDomain: string;
}

const INSTALL_HELP = `
Everything is checked before anything is kept. Where the root is one that the mesh does not know, it is added, and takes
the place of the root in force once every sidecar has acknowledged it (heddle ca status). Without a mesh that runs, the
root is the first one of the mesh to come.

Example:
  heddle ca csr > issuing.csr      # have it signed where the root is
  heddle ca install issuing.pem --root root.pem
`;

export function caKeys(command: Command): void {
  const csr = keysOptions(command.command("csr"));
  csr
    .description("Print the request for an issuing certificate, for a root that is kept elsewhere to sign.")
    .option("--out <file>", "write it there")
    .action(async ({ out, ...options }: KeysOptions & { readonly out?: string }) => {
      const { custody, trustDomain } = await keysOf(options);
      const request = await issuingRequest(custody, trustDomain);
      if (out === undefined) printText(request);
      else await writePrivateFile(out, request);
    });
  const install = keysOptions(command.command("install"));
  install
    .description("Take the issuing certificate that an external root has signed into use.")
    .argument("<certificate>", "the issuing certificate, PEM")
    .requiredOption("--root <file>", "the root that signed it, PEM")
    .option("--offline", "only keep it: no mesh runs here")
    .option("--reason <text>", "why, for whoever reads the history", "")
    .option("--nats-url <url>", "the mesh's NATS, instead of the directory's")
    .option("--creds <file>", "credentials to use, instead of the directory's")
    .addHelpText("after", INSTALL_HELP)
    .action(installCertificate);
  const protect = keysOptions(command.command("protect"));
  protect
    .description("Encrypt the authority's keys under another secret, or with --clear under none.")
    .option("--new-key-file <file>", "the secret to encrypt them under")
    .option("--clear", "keep them as they are, protected by the mode of their files alone")
    .action(protectKeys);
}

function keysOptions(command: Command): Command {
  command
    .option("--dir <directory>", "state directory of the mesh (default: $HEDDLE_DIR or ./.heddle)")
    .option("--ca-dir <directory>", "keys of the certificate authority, instead of the directory's")
    .option("--trust-domain <domain>", "trust domain of the mesh, where there is no directory to tell it");
  return caKeyFileOption(command);
}

async function keysOf({ dir, caDir, trustDomain, caKeyFile }: KeysOptions): Promise<Keys> {
  const seal = await readSeal(caKeyFile);
  if (caDir !== undefined && trustDomain !== undefined) return { custody: new FileCustody(caDir, seal), trustDomain };
  const path = directoryPath(dir);
  const directory = await openDirectory(path);
  if (directory === undefined) {
    throw new Failure(`there is no mesh in ${path}: name its directory with --dir, or --ca-dir and --trust-domain`);
  }
  const custody = new FileCustody(caDir ?? directory.caPath, seal);
  return { custody, trustDomain: trustDomain ?? directory.context.trustDomain };
}

async function installCertificate(path: string, options: InstallOptions): Promise<void> {
  const { custody, trustDomain } = await keysOf(options);
  const [certificate, root] = await Promise.all([certificateText(path), certificateText(options.root)]);
  const installed = await installIssuer(custody, { certificate, root, trustDomain, nowMs: Date.now() });
  if (!installed.ok) throw new Failure(`${path}: ${installed.error}; nothing was changed`);
  const { rootPem, rootFingerprint, notAfterMs } = installed.value;
  note(`kept, under the root ${rootFingerprint.slice(0, 12)}, until ${new Date(notAfterMs).toISOString()}`);
  if (options.offline === true) return;
  await withOperator(options, async (context) => {
    const { roots } = await currentState(context);
    if (activeRoot(roots)?.fingerprint === rootFingerprint) {
      note("the root is in force already: control replicas take the certificate up within ten minutes");
      return;
    }
    const body = { kind: "add-root", fingerprint: rootFingerprint, pem: rootPem } as const;
    const command = { namespace: MESH_NAMESPACE, body };
    const { decided } = await sendDirectly(context, command, { reason: options.reason, dryRun: false });
    for (const warning of decided.warnings) note(warning);
    if (decided.revision !== undefined) note(`revision ${decided.revision}: heddle ca status shows how far it is`);
  });
}

function certificateText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Failure(`${path}: the certificate cannot be read`, { cause });
  });
}

async function protectKeys(
  options: KeysOptions & { readonly newKeyFile?: string; readonly clear?: true },
): Promise<void> {
  const { custody } = await keysOf(options);
  const next = await readSeal(options.newKeyFile);
  if ((next === undefined) !== (options.clear === true)) {
    throw new Failure("say either --new-key-file, the secret to encrypt the keys under, or --clear");
  }
  const files = await custody.reseal(next);
  if (files.length === 0) throw new Failure("there are no keys yet: a control replica makes them at its first start");
  for (const file of files) note(`${file}: ${next === undefined ? "in the clear" : "encrypted"}`);
  note("control replicas that run keep the keys that they have opened; start the next ones with the new secret");
}

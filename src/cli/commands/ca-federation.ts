/** `heddle ca federate` and `unfederate`: workloads of another trust domain. */

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { BUNDLE_BYTES_MAX, parseSpiffeBundle } from "../../ca/spiffe-bundle.ts";
import type { CommandBody } from "../../events/commands.ts";
import { MESH_NAMESPACE, TRUST_DOMAIN } from "../../policy/names.ts";
import { Failure, UsageError } from "../failure.ts";
import { isLoopback } from "../input/address.ts";
import { type ChangeOptions, changeOptions } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { withOperator } from "../mesh/context.ts";

interface FederateOptions extends ChangeOptions {
  readonly bundle: string;
}

const FETCH_TIMEOUT_MS = 10_000;

const HELP = `
Their roots vouch for their own trust domain and for no other. What their workloads may do, access policies say, by SPIFFE ID:
from: ["spiffe://other.example/ns/shop/sa/web"]. Said again with a newer bundle, the newer one takes its place; where nothing
has changed, nothing is written. From an https URL (a SPIFFE bundle endpoint of the profile https_web) the bundle is fetched
once, by this command: run it from time to time, as a job may, with the credentials of an admin.

Examples:
  heddle ca federate other.example --bundle other.json
  heddle ca federate other.example --bundle https://other.example/bundle.json
`;

export function caFederation(command: Command): void {
  changeOptions(command.command("federate"))
    .description("Believe workloads of another trust domain.")
    .argument("<trust-domain>", "theirs, such as other.example")
    .requiredOption("--bundle <file|url>", "their trust bundle: a SPIFFE JWK set, or PEM; - is the standard input")
    .addHelpText("after", HELP)
    .action(async (name: string, options: FederateOptions) => {
      const trustDomain = trustDomainArgument(name);
      const text = await bundleText(options.bundle);
      const bundle = parseSpiffeBundle(text);
      if (!bundle.ok) throw new Failure(`${options.bundle}: ${bundle.error}`);
      const { roots, sequence } = bundle.value;
      const said = sequence === undefined ? {} : { sequence };
      await send({ kind: "federate", trustDomain, roots: [...roots], ...said }, options);
    });
  changeOptions(command.command("unfederate"))
    .description("Believe workloads of another trust domain no longer. Closes what they have open.")
    .argument("<trust-domain>", "theirs")
    .action((name: string, options: ChangeOptions) =>
      send({ kind: "unfederate", trustDomain: trustDomainArgument(name) }, options),
    );
}

async function send(body: CommandBody, options: ChangeOptions): Promise<void> {
  await withOperator(options, async (context) => {
    const command = { namespace: MESH_NAMESPACE, body };
    await changeAtOnce(context, command, options);
  });
}

async function bundleText(path: string): Promise<string> {
  if (path === "-") return Bun.stdin.text();
  if (/^https?:\/\//.test(path)) return fetchBundle(path);
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Failure(`${path}: the bundle cannot be read`, { cause });
  });
}

/** By HTTPS only: nobody on the path may say whom the mesh trusts. Rejects with `Failure`. */
async function fetchBundle(url: string): Promise<string> {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:" && !isLoopback(hostname)) {
    throw new Failure(`${url}: fetched without TLS, anybody on the way could alter it; give an https URL, or a file`);
  }
  try {
    const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
    const response = await fetch(url, { redirect: "error", signal });
    if (!response.ok) throw new Error(`answered with ${response.status}`);
    let text = "";
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      // What is longer is refused as a whole by whoever reads it.
      if (text.length > BUNDLE_BYTES_MAX) break;
    }
    return text;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Failure(`${url}: the bundle cannot be fetched: ${why}`, { cause });
  }
}

function trustDomainArgument(text: string): string {
  const name = text.startsWith("spiffe://") ? text.slice("spiffe://".length) : text;
  if (TRUST_DOMAIN.test(name)) return name;
  throw new UsageError(`${JSON.stringify(text)} is no trust domain; write one such as other.example`);
}

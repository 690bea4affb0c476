/** `heddle sidecar-worker`: one of the processes of `heddle sidecar --workers`, which alone starts it. */

import type { Command } from "commander";
import { LocalDataPlane } from "../../proxy/sidecar/local-data-plane.ts";
import type { DataPlaneOptions } from "../../proxy/sidecar/options.ts";
import type { WorkerOrder } from "../../proxy/sidecar/workers/messages.ts";
import { Worker } from "../../proxy/sidecar/workers/worker.ts";
import { EXIT_FAILED, UsageError } from "../failure.ts";
import { dataPlaneOptions, declareSidecarOptions, type SidecarArguments } from "../processes/sidecar-options.ts";
import { onStopSignals } from "../processes/stop-signals.ts";

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await declareSidecarOptions(command)
    .action((options: SidecarArguments) => runWorker(options))
    .parseAsync(args, { from: "user" });
}

async function runWorker(parsed: SidecarArguments): Promise<void> {
  const send = process.send?.bind(process);
  if (send === undefined) throw new UsageError("sidecar-worker is started by `heddle sidecar --workers`, not by hand");
  // A terminal, or a supervisor, signals every process at once: what that means is the sidecar's to say.
  onStopSignals(() => {});
  const options = await dataPlaneOptions(parsed);
  const over = Promise.withResolvers<string | undefined>();
  const worker = new Worker({
    send,
    dataPlane: (start, askQuota) => new LocalDataPlane({ ...startOptions(options, start), askQuota }),
    onEnd: over.resolve,
  });
  process.on("message", (message: unknown) => worker.receive(message));
  // Without the sidecar nobody tells us what is in force, nor when our certificate ends.
  process.on("disconnect", () => over.resolve("the sidecar has ended"));
  const failure = await over.promise;
  await options.accessLog?.close();
  process.exit(failure === undefined ? 0 : EXIT_FAILED);
}

/** What is known only when the sidecar has chosen its ports. */
function startOptions(
  options: Omit<DataPlaneOptions, "trustDomain">,
  { trustDomain, addresses }: Pick<Extract<WorkerOrder, { kind: "start" }>, "trustDomain" | "addresses">,
): DataPlaneOptions {
  const { inbound, outbound, outboundTls, upstreams } = addresses;
  return {
    ...options,
    trustDomain,
    inbound,
    outbound,
    outboundTls,
    upstreams: options.upstreams.map((upstream, index) => ({
      ...upstream,
      address: upstreams[index] ?? upstream.address,
    })),
    sharedListeners: true,
  };
}

/** A sidecar as a process of its own, through the command line, in the mesh of a test. */

import { join } from "node:path";
import { writeCredentials } from "../../src/nats/credentials.ts";
import type { TestMesh } from "./mesh.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

export interface SidecarProcess {
  readonly outboundPort: number;
  readonly adminPort: number;
  /** All that it has logged so far. */
  readonly log: () => string;
  readonly child: Bun.Subprocess<"ignore", "ignore", "pipe">;
}

/**
 * Runs a sidecar of `service` whose state outlives it; `more` are options that override the usual ones. Resolves when
 * it listens, rejects with what it said when it ends before.
 */
export async function startSidecarProcess(
  mesh: TestMesh,
  service: string,
  appPort: number,
  labels: readonly string[] = [],
  more: readonly string[] = [],
): Promise<SidecarProcess> {
  const [namespace = "", name = ""] = service.split("/");
  const { path } = mesh.nats.directory;
  const creds = join(path, `${name}.creds`);
  await writeCredentials(creds, await mesh.nats.mintService(namespace, name));
  const anywhere = "127.0.0.1:0";
  const child = Bun.spawn(
    [
      ...[process.execPath, MAIN, "sidecar", "--service", service, "--app", `127.0.0.1:${appPort}`],
      ...["--inbound", anywhere, "--outbound", anywhere, "--admin", anywhere, "--health", "off", "--metrics", "off"],
      ...["--advertise", "127.0.0.1", "--nats-url", mesh.nats.url, "--creds", creds, "--app-health", "none"],
      ...["--instance", `${name}-process`, "--state-dir", join(path, `${name}-process`)],
      ...labels.flatMap((label) => ["--label", label]),
      ...more,
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { ...process.env, HEDDLE_LOG: "info" } },
  );
  return { child, ...(await listeningOn(child.stderr)) };
}

/** The ports that the log tells, which is read on for as long as the process lives. */
async function listeningOn(
  log: ReadableStream<Uint8Array>,
): Promise<Pick<SidecarProcess, "outboundPort" | "adminPort" | "log">> {
  const ports = Promise.withResolvers<Pick<SidecarProcess, "outboundPort" | "adminPort" | "log">>();
  let text = "";
  const read = async (): Promise<void> => {
    for await (const chunk of log) {
      text += new TextDecoder().decode(chunk);
      const found = /"outbound":"127\.0\.0\.1:(\d+)","admin":"127\.0\.0\.1:(\d+)"/.exec(text);
      if (found !== null) {
        ports.resolve({ outboundPort: Number(found[1]), adminPort: Number(found[2]), log: () => text });
      }
    }
    ports.reject(new Error(`the sidecar ended: ${text}`));
  };
  void read();
  return ports.promise;
}

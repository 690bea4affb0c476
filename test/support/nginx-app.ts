/** nginx as an application: another reading of HTTP than Node's, with its own idea of where a message ends. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { eventually } from "./mesh.ts";
import type { NodeApp } from "./node-app.ts";
import { RawClient } from "./raw-client.ts";

/** One process that answers everything, and writes down what it read: `<method> <target>`. */
const configuration = (port: number): string => `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 512; }
http {
  log_format seen '$request_method $request_uri';
  access_log seen.log seen;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 1m;
  server {
    listen 127.0.0.1:${port};
    location / { return 200 "nginx\\n"; }
    location /seen { access_log off; return 200; }
  }
}
`;

export type NginxApp = Omit<NodeApp, "seen" | "stop"> & { seen(): Promise<{ seen: string[] }> };

export async function startNginxApp(): Promise<NginxApp> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-nginx-"));
  const port = freePort();
  await writeFile(join(folder, "nginx.conf"), configuration(port));
  const child = Bun.spawn(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"], { stderr: "inherit" });
  await eventually(async () => (await RawClient.connect(port)).close());
  return {
    port,
    seen: async () => ({ seen: (await readFile(join(folder, "seen.log"), "utf8")).split("\n").filter(Boolean) }),
    kill: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

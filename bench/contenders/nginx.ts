/** nginx, one worker per hop, HTTP/1.1 between the hops: it speaks no HTTP/2 to what it proxies to. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CALLED_NAME } from "../certificates.ts";
import type { Contender, Site } from "../contender.ts";
import { freePort, output, PROXY_CORE, spawnPinned, untilServing } from "../process.ts";

interface Hop {
  readonly listen: string;
  readonly server: string;
  readonly next: string;
}

const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

async function startHop({ directory, defer }: Site, name: string, { listen, server, next }: Hop) {
  const path = join(directory, `${name}.conf`);
  const temporary = TEMPORARY.map((kind) => `${kind}_temp_path ${directory}/${name}-${kind};`).join(" ");
  await writeFile(
    path,
    `worker_processes 1; daemon off; master_process off; pid ${directory}/${name}.pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; ${temporary} keepalive_requests 100000000; keepalive_timeout 600s;
  upstream next { server ${next}; keepalive 256; keepalive_requests 100000000; }
  server { listen ${listen}; ${server} proxy_http_version 1.1; proxy_set_header Connection ""; } }
`,
  );
  return spawnPinned(PROXY_CORE, ["nginx", "-e", "stderr", "-c", path], defer);
}

export const nginx: Contender = {
  name: "nginx",
  acceptsH2c: false,
  carriesGrpc: false,
  missing: () => (Bun.which("nginx") === null ? "apt-get install nginx" : undefined),
  version: async () => (await output(["nginx", "-v"])).trim().replace("nginx version: ", ""),
  async start(site) {
    const {
      applicationPort,
      certificates: { caller, called },
    } = site;
    const [port, between] = [await freePort(), await freePort()];
    const b = await startHop(site, "b", {
      listen: `127.0.0.1:${between} ssl`,
      server: `ssl_certificate ${called.certificate}; ssl_certificate_key ${called.key}; ssl_protocols TLSv1.3;
        ssl_client_certificate ${called.roots}; ssl_verify_client on; location / { proxy_pass http://next; }`,
      next: `127.0.0.1:${applicationPort}`,
    });
    const a = await startHop(site, "a", {
      listen: `127.0.0.1:${port}`,
      server: `proxy_ssl_certificate ${caller.certificate}; proxy_ssl_certificate_key ${caller.key};
        proxy_ssl_trusted_certificate ${caller.roots}; proxy_ssl_verify on; proxy_ssl_name ${CALLED_NAME};
        proxy_ssl_protocols TLSv1.3; location / { proxy_pass https://next; }`,
      next: `127.0.0.1:${between}`,
    });
    await untilServing(port, "/130");
    return {
      port,
      pids: [a.pid, b.pid],
      inbound: { port: between, client: caller },
    };
  },
};

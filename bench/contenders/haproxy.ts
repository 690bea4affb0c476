/** HAProxy, in one thread per hop, with HTTP/1.1 or HTTP/2 between the hops. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CALLED_NAME, type Identity } from "../certificates.ts";
import type { Contender, Site } from "../contender.ts";
import { freePort, output, PROXY_CORE, spawnPinned, untilServing } from "../process.ts";

const GLOBAL = `
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
`;

interface Hop {
  readonly listen: string;
  readonly server: string;
}

async function startHop({ directory, defer }: Site, name: string, { listen, server }: Hop) {
  const path = join(directory, `${name}.cfg`);
  const body = `frontend in\n  bind ${listen}\n  default_backend out\nbackend out\n  server next ${server}\n`;
  await writeFile(path, GLOBAL + body);
  return spawnPinned(PROXY_CORE, ["haproxy", "-db", "-q", "-f", path], defer);
}

/** HAProxy wants certificate and key in one file. */
async function joined({ certificate, key }: Identity, path: string): Promise<string> {
  await writeFile(path, (await readFile(certificate, "utf8")) + (await readFile(key, "utf8")), { mode: 0o600 });
  return path;
}

function haproxy(name: string, alpn: "http/1.1" | "h2"): Contender {
  return {
    name,
    acceptsH2c: true,
    carriesGrpc: alpn === "h2",
    missing: () => (Bun.which("haproxy") === null ? "apt-get install haproxy" : undefined),
    version: async () => ((await output(["haproxy", "-v"])).split("\n")[0] ?? "").replace(/ -.*/, ""),
    async start(site) {
      const {
        applicationPort,
        protocol,
        directory,
        certificates: { caller, called },
      } = site;
      const [port, between] = [await freePort(), await freePort()];
      const callerPem = await joined(caller, join(directory, "caller.both.pem"));
      const calledPem = await joined(called, join(directory, "called.both.pem"));
      const tls = (pem: string, roots: string): string =>
        `ssl alpn ${alpn} crt ${pem} ca-file ${roots} verify required ssl-min-ver TLSv1.3`;
      const b = await startHop(site, "b", {
        listen: `127.0.0.1:${between} ${tls(calledPem, called.roots)}`,
        server: `127.0.0.1:${applicationPort}${protocol === "grpc" ? " proto h2" : ""}`,
      });
      const a = await startHop(site, "a", {
        listen: `127.0.0.1:${port}`,
        server: `127.0.0.1:${between} ${tls(callerPem, caller.roots)} verifyhost ${CALLED_NAME} sni str(${CALLED_NAME})`,
      });
      await untilServing(port, "/130");
      return {
        port,
        pids: [a.pid, b.pid],
        inbound: { port: between, client: caller },
      };
    },
  };
}

export const haproxyHttp1 = haproxy("haproxy-h1", "http/1.1");
export const haproxyHttp2 = haproxy("haproxy-h2", "h2");

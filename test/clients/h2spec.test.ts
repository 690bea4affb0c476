/** h2spec's reading of RFC 9113 and RFC 7541 against both doors of a sidecar, with an application behind them. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { CalledService } from "../support/called-service.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { needs, run } from "./tool.ts";

const [title, missing] = needs("h2spec", "h2spec finds nothing to complain of");
describe.skipIf(missing)(title, () => {
  let app: NodeApp;
  let service: CalledService;
  beforeAll(async () => {
    app = await startNodeApp();
    service = await CalledService.start({ protocol: "http", port: app.port });
  });
  afterAll(async () => {
    await service.stop();
    await app.kill();
  });

  /** The titles of the cases that failed. */
  async function failures(port: number): Promise<string[]> {
    const { out } = await run(["h2spec", "--strict", "-h", "127.0.0.1", "-p", String(port), "-o", "1"]);
    expect(out).toMatch(/^146 tests, /m);
    // They are told as they come, and again at the end.
    return [...new Set(Array.from(out.matchAll(/× (?:\d+: )?(.*)/g), ([, name = ""]) => name.trim()))];
  }

  test("where the application calls", async () => {
    // That port speaks HTTP/1.1 as well: what does not begin as HTTP/2 is answered with a 400, and then closed.
    expect(await failures(service.boundPort)).toEqual(["Sends invalid connection preface"]);
  }, 40_000);

  test("where peers call, with the certificate of one", async () => {
    const bridge = await showCertificate(service);
    expect(await failures((bridge.address() as AddressInfo).port)).toEqual([]);
    bridge.close();
  }, 40_000);
});

/** Web's certificate, which h2spec cannot show itself: a plain port whose connections become those of web to app. */
async function showCertificate({ mesh, app }: CalledService): Promise<Server> {
  const file = join(mesh.nats.directory.path, "sidecars", "web-1", "identity.json");
  const { keyPem, chainPem } = JSON.parse(await readFile(file, "utf8")) as { keyPem: string; chainPem: string };
  const { host, port } = app.sidecar.inboundAddress;
  const bridge = createServer((plain) => {
    const secure = connect({
      ...{ host, port, key: keyPem, cert: chainPem, ALPNProtocols: ["h2"] },
      // Whether a peer trusts us is not the question here; whom it sees is.
      rejectUnauthorized: false,
    });
    plain.on("error", () => secure.destroy()).on("close", () => secure.destroy());
    secure.on("error", () => plain.destroy()).on("close", () => plain.destroy());
    plain.pipe(secure).pipe(plain);
  });
  await new Promise<void>((resolve) => bridge.listen(0, "127.0.0.1", resolve));
  return bridge;
}

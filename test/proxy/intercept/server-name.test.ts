/** TLS that the called service ends, from a client that knows nothing of a mesh: it arrives unopened, by its server name. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testAuthority } from "../../support/identities.ts";
import { firstWord, InterceptedMesh, SIDECAR_USER } from "../../support/intercepted-mesh.ts";
import { eventually } from "../../support/mesh.ts";
import { whyNoNamespaces } from "../../support/namespaces.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";

const SNIFFER = join(import.meta.dir, "../../support/sniffer.mjs");
const PORT = 8443;
/** Of the network, but of no host: what is sent there leads somewhere only by its name. */
const NOBODY = "10.88.0.200";

const reason = whyNoNamespaces();

describe.skipIf(reason !== undefined)(`redirected TLS${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let mesh: InterceptedMesh<"web" | "vault">;
  let folder: string;
  let fingerprint: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-vault-"));
    await chmod(folder, 0o755);
    const { certificateChain, privateKey } = await (await testAuthority("vault")).issue("vault");
    fingerprint = new X509Certificate(certificateChain).fingerprint256;
    const files = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    await writeFile(files.certificate, certificateChain);
    await writeFile(files.key, privateKey);
    mesh = await InterceptedMesh.start(["web", "vault"]);
    const { web, vault } = mesh.hosts;
    const services =
      serviceDocument("web", "http") + serviceDocument("vault", "tcp") + serviceDocument("closed", "tcp");
    await mesh.mesh.apply(services + openToWeb("vault"));
    await mesh.network.nameHosts(web, [
      `${vault.ipv4} vault`,
      `${NOBODY} vault.shop`,
      `${NOBODY} closed.shop`,
      `${NOBODY} elsewhere.example`,
    ]);
    await mesh.serve(vault, ["serve", "tls", `${PORT}`, files.certificate, files.key]);
    for (const host of [web, vault]) await mesh.heddle(host, "intercept", "--user", `${SIDECAR_USER}`);
    await Promise.all([
      mesh.startSidecar(web, "shop/web", { port: 8080, args: ["--app-health", "none"] }),
      mesh.startSidecar(vault, "shop/vault", { port: PORT }),
    ]);
    await eventually(async () => {
      expect(await mesh.tls(web, "vault", PORT)).toEqual({ received: "hello", fingerprint });
    }, 30_000);
  }, 60_000);

  afterAll(async () => {
    await mesh.stop();
    await rm(folder, { recursive: true });
  }, 30_000);

  test("by an address that is nobody's, whose name is a service's; the name is not seen on the wire", async () => {
    const { web } = mesh.hosts;
    const sniffer = mesh.network.hub.start([process.execPath, SNIFFER]);
    const wire = new Response(await firstWord(sniffer)).bytes();
    expect(await mesh.tls(web, "vault.shop", PORT)).toEqual({ received: "hello", fingerprint });
    sniffer.kill();
    const bytes = Buffer.from(await wire);
    expect(bytes.length).toBeGreaterThan(1000);
    expect(bytes.includes("vault.shop")).toBe(false);
  });

  test("names of services that may not be called, or of nobody, lead nowhere", async () => {
    const { web } = mesh.hosts;
    for (const name of ["closed.shop", "elsewhere.example"]) {
      const { received, error } = await mesh.tls(web, name, PORT);
      expect([name, received]).toEqual([name, ""]);
      expect(error).toMatch(/ALERT|ECONNRESET/);
    }
  });
});

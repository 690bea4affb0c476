/** TLS that the called service ends, carried unopened to whom its server name says. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { connect as connectTls, createServer, type Server } from "node:tls";
import { testAuthority } from "../../support/identities.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";

let mesh: TestMesh;
let web: TestSidecar;
let vault: Server;
let port: number;
beforeAll(async () => {
  const { certificateChain: cert, privateKey: key } = await (await testAuthority("vault")).issue("vault");
  vault = createServer({ cert, key }, (socket) => void socket.on("error", () => {}).write("the vault greets"));
  await new Promise<void>((resolve) => vault.listen(0, "127.0.0.1", resolve));
  const address = vault.address();
  mesh = await TestMesh.start();
  const tcp = ["vault", "closed", "empty"].map((name) => serviceDocument(name, "tcp"));
  await mesh.apply(serviceDocument("web", "http") + tcp.join("") + openToWeb("vault") + openToWeb("empty"));
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1, outboundTls: { host: "127.0.0.1", port: 0 } });
  await mesh.startSidecar({ service: "shop/vault", appPort: typeof address === "object" ? (address?.port ?? 0) : 0 });
  await mesh.converged();
  port = web.sidecar.outboundTlsAddress?.port ?? 0;
  await eventually(async () => expect(await greet("vault.shop")).toBe("the vault greets"));
});
afterAll(async () => {
  await mesh.stop();
  vault.close();
});

/** What is heard after a TLS handshake, or the code of the error that it ended in. */
function greet(servername: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  socket.once("data", (data) => resolve(data.toString()));
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  socket.once("close", () => resolve("closed"));
  return promise.finally(() => socket.destroy());
}

/** Sends `bytes` as they are; what comes back until the end. */
function say(bytes: Uint8Array | string, to = port): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const socket = connect({ host: "127.0.0.1", port: to });
  socket.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", () => {});
  socket.on("close", () => resolve(Buffer.concat(chunks)));
  socket.write(bytes);
  return promise;
}

interface Line {
  readonly requested_server_name: string | null;
  readonly response_code_details: string;
  readonly upstream_cluster: string | null;
}
const lines = async (): Promise<Line[]> =>
  (await readFile(web.accessLogFile, "utf8"))
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => JSON.parse(text) as Line);

test("every spelling of the service's name leads there, and the access log says it", async () => {
  for (const name of ["vault", "vault.shop", "VAULT.shop.mesh.local"]) {
    expect(await greet(name)).toBe("the vault greets");
  }
  await eventually(async () => {
    const found = (await lines()).find((line) => line.requested_server_name === "vault.shop.mesh.local");
    expect(found?.upstream_cluster).toContain("vault.shop.mesh.local");
  });
});

describe("what leads nowhere is told in TLS", () => {
  // RFC 8446 §6: unrecognized_name, access_denied, internal_error.
  test.each([
    ["a name of nobody", "nobody.example", "UNRECOGNIZED_NAME", "route_not_found"],
    ["a service that may not be called", "closed.shop", "ACCESS_DENIED", "rbac_access_denied_matched_policy[none]"],
    ["a service without instances", "empty.shop", "INTERNAL_ERROR", "no_healthy_upstream"],
  ])("%s", async (_, name, alert, details) => {
    expect(await greet(name)).toContain(alert);
    await eventually(async () => {
      const found = (await lines()).find((line) => line.requested_server_name === name);
      expect(found?.response_code_details).toStartWith(details);
    });
  });

  test("no name at all", async () => {
    expect(await greet("")).toContain("UNRECOGNIZED_NAME");
  });
});

test("what is no TLS is refused in words that it understands, and logged", async () => {
  const answer = (await say("GET / HTTP/1.1\r\nhost: vault\r\n\r\n")).toString();
  expect(answer).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect(answer).toContain("tls_client_hello_expected");
  // decode_error
  expect([...(await say(Uint8Array.of(22, 3, 1, 0, 0, 1)))]).toEqual([21, 3, 3, 0, 2, 2, 50]);
  expect((await say("SSH-2.0-x\r\n")).length).toBe(0);
  await eventually(async () => {
    const refused = (await lines()).filter((line) => line.response_code_details === "tls_client_hello_expected");
    expect(refused.length).toBe(3);
  });
});

test("TLS where HTTP is spoken is refused at once, in TLS", async () => {
  const outbound = web.sidecar.outboundAddress.port;
  // unexpected_message
  expect([...(await say(Uint8Array.of(22, 3, 1, 2, 0, 1), outbound))]).toEqual([21, 3, 3, 0, 2, 2, 10]);
  await eventually(async () => {
    const found = (await lines()).find((line) => line.response_code_details === "tls_instead_of_http");
    expect(found).toBeDefined();
  });
});

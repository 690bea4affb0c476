/** curl in all its ways to speak HTTP, through both sidecars. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CalledService } from "../support/called-service.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { needs, type Outcome, run } from "./tool.ts";

const MEGABYTE = 1024 * 1024;
const LARGE_BYTES = 100 * MEGABYTE;

const DATABASE = `
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: db }
spec: { ports: [{ port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: db }
spec: { service: db, rules: [{ allow: { from: [shop/web] } }] }
`;

const [title, missing] = needs("curl", "curl");
describe.skipIf(missing)(title, () => {
  let app: NodeApp;
  let service: CalledService;
  let folder: string;
  let large: string;
  let digest: string;

  beforeAll(async () => {
    app = await startNodeApp();
    service = await CalledService.start({ protocol: "http", port: app.port, policy: DATABASE });
    folder = await mkdtemp(join(tmpdir(), "heddle-curl-"));
    large = join(folder, "large");
    const bytes = randomBytes(LARGE_BYTES);
    digest = createHash("sha256").update(bytes).digest("hex");
    await writeFile(large, bytes);
  });
  afterAll(async () => {
    await service.stop();
    await app.kill();
    await rm(folder, { recursive: true, force: true });
  });

  /** curl with what every call here has in common; `path` of the service. */
  function curl(path: string, options: readonly string[] = [], input: Uint8Array | string = ""): Promise<Outcome> {
    const url = `http://127.0.0.1:${service.outboundPort}${path}`;
    return run(["curl", "-sS", "-m", "30", "-H", "host: app", ...options, url], input);
  }

  describe.each([
    ["HTTP/1.1", "1.1", "--http1.1"],
    ["HTTP/2", "2", "--http2-prior-knowledge"],
  ])("over %s", (_name, version, flag) => {
    test("a GET", async () => {
      const { code, out } = await curl("/n1", [flag, "-w", "%{http_version}"]);
      expect([code, out.endsWith(version)]).toEqual([0, true]);
      expect(out).toContain('"url":"/n1"');
    });

    test("HEAD has the head of GET, and no body", async () => {
      const { code, out } = await curl("/stream?bytes=1000", [flag, "-I"]);
      expect(code).toBe(0);
      expect(out).toMatch(/^HTTP\/\S+ 200/);
      expect(out).toEndWith("\r\n\r\n");
    });

    test("a hundred megabytes up and down at once", async () => {
      const back = join(folder, `back-${version}`);
      expect(await curl("/echo", [flag, "-T", large, "-o", back])).toMatchObject({ code: 0, err: "" });
      const hash = createHash("sha256").update(await Bun.file(back).bytes());
      expect(hash.digest("hex")).toBe(digest);
    }, 30_000);

    test("a hundred megabytes up from a pipe, in chunks of unknown number", async () => {
      const url = `http://127.0.0.1:${service.outboundPort}/digest`;
      const piped = `cat "$1" | curl -sS ${flag} -H "host: app" -T - "$2"`;
      const { out } = await run(["sh", "-c", piped, "sh", large, url]);
      expect(JSON.parse(out)).toMatchObject({ bytes: LARGE_BYTES, sha256: digest });
    }, 30_000);

    test("an answer that comes before the upload is over", async () => {
      const { out } = await curl("/early", [flag, "-X", "POST", "-T", large, "-w", "\n%{http_code}"]);
      expect(out).toBe("large\n413");
    });

    test("trailers", async () => {
      const { code, out } = await curl("/trailers", [flag, "-H", "te: trailers", "-D", "-"]);
      expect(code).toBe(0);
      expect(out).toContain("body");
      expect(out).toEndWith("x-checksum: abc\r\n");
    });

    test("a range is the application's to serve", async () => {
      const { out } = await curl("/headers", [flag, "-r", "100-199"]);
      const { headers } = JSON.parse(out) as { headers: string[] };
      expect(headers[headers.findIndex((name) => name.toLowerCase() === "range") + 1]).toBe("bytes=100-199");
    });

    test("an error of the mesh is one that curl can show", async () => {
      const url = `http://127.0.0.1:${service.outboundPort}/`;
      const { out } = await run(["curl", "-sS", flag, "-H", "host: nowhere", "-w", "\n%{http_code}", url]);
      expect(out).toContain("The host names no service of the mesh, or one of another namespace that nothing allows");
      expect(out).toEndWith("\n404");
    });
  });

  test("several requests over one connection", async () => {
    const urls = [2, 3, 4].map((n) => `http://127.0.0.1:${service.outboundPort}/n${n}`);
    const { code, out } = await curl("/n1", ["-w", "\n%{num_connects}\n", ...urls]);
    expect(code).toBe(0);
    expect(out.match(/"url":"\/n\d"/g)).toHaveLength(4);
    expect(out.match(/^\d$/gm)).toEqual(["1", "0", "0", "0"]);
  });

  test("an upgrade to h2c that curl offers is left out, and the request served", async () => {
    const { code, out } = await curl("/plain", ["--http2", "-w", "%{http_version}"]);
    expect([code, out.endsWith("1.1")]).toEqual([0, true]);
    expect(out).not.toContain("http2-settings");
  });

  test("a client that waits for 100 Continue need not wait for its own patience to end", async () => {
    const options = ["-H", "expect: 100-continue", "--expect100-timeout", "20", "-m", "10", "-d", "body"];
    const { code, out } = await curl("/digest", options);
    expect([code, (JSON.parse(out) as { bytes: number }).bytes]).toEqual([0, 4]);
    const refused = await curl("/digest?refuse=413", [...options, "-w", " %{http_code} %{size_upload}"]);
    expect(refused.out).toBe("no 413 0");
  });

  test("HTTP/1.0", async () => {
    const { code, out } = await curl("/stream?bytes=100000", ["-0"]);
    expect([code, out.length]).toEqual([0, 100_000]);
  });

  describe("with the sidecar as proxy", () => {
    let proxy: string;
    let db: ReturnType<typeof Bun.serve>;

    beforeAll(async () => {
      proxy = `http://127.0.0.1:${service.outboundPort}`;
      db = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => new Response(`db ${request.url}`) });
      await service.mesh.startSidecar({ service: "shop/db", appPort: db.port ?? 0 });
      await service.mesh.converged();
      await eventually(async () => {
        const { code } = await run(["curl", "-sS", "-p", "-x", proxy, "http://db.shop:5432/"]);
        expect(code).toBe(0);
      });
    });
    afterAll(() => db.stop(true));

    test("-x: requests in absolute-form", async () => {
      const { out } = await run(["curl", "-sS", "-x", proxy, "http://app.shop/by-proxy"]);
      expect(out).toContain('"url":"/by-proxy"');
      const env = await run(["env", `http_proxy=${proxy}`, "curl", "-sS", "http://app.shop.mesh.local/by-env"]);
      expect(env.out).toContain('"url":"/by-env"');
    });

    test("--proxytunnel: CONNECT to a tcp service is a tunnel", async () => {
      const { code, out } = await run([
        "curl",
        "-sS",
        "-p",
        "-x",
        proxy,
        "http://db.shop:5432/a",
        "http://db.shop:5432/b",
      ]);
      expect([code, out]).toEqual([0, "db http://db.shop:5432/adb http://db.shop:5432/b"]);
    });

    test("--proxytunnel: CONNECT to an http service is refused, and says why", async () => {
      const { code, err } = await run(["curl", "-sSv", "-p", "-x", proxy, "http://app.shop:8080/"]);
      expect(code).not.toBe(0);
      expect(err).toMatch(/< HTTP\/1\.1 502 /);
      expect(err).toContain("< server: heddle");
    });
  });
});

/** Certificates that live shortly are renewed under load, and nobody notices. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import { LoadedMesh } from "../support/loaded-mesh.ts";
import { eventually } from "../support/mesh.ts";
import type { TestSidecar } from "../support/sidecars.ts";
import { applying, send } from "./mesh.ts";

/** Long enough for a machine that stands still for some seconds, short enough to be renewed while one waits. */
const LEAF_TTL_MS = 24_000;

let mesh: LoadedMesh;
beforeAll(async () => {
  mesh = await LoadedMesh.start({ leafTtlMs: LEAF_TTL_MS });
});
afterAll(() => mesh.stop());

interface Facts {
  readonly serial: string;
  readonly lifeMs: number;
}

async function certificate({ admin }: TestSidecar): Promise<Facts> {
  const { status } = (await (await fetch(`${admin}/config_dump`)).json()) as {
    status: { certificateSerial: string; certificateExpiry: string };
  };
  return { serial: status.certificateSerial, lifeMs: Date.parse(status.certificateExpiry) - Date.now() };
}

test("every sidecar renews under constant load: nothing fails, and metrics tell", async () => {
  const load = await mesh.load();
  const seen = mesh.sidecars.map(() => new Set<string>());
  await eventually(async () => {
    for (const [index, sidecar] of mesh.sidecars.entries()) seen[index]?.add((await certificate(sidecar)).serial);
    expect(Math.min(...seen.map(({ size }) => size))).toBeGreaterThanOrEqual(2);
  }, 60_000);
  await load.another();
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(Math.min(...Object.values(load.done))).toBeGreaterThan(10);
  const metrics = await (await fetch(`${mesh.web.admin}/stats/prometheus`)).text();
  expect(metrics).toMatch(/heddle_certificate_renewals_total\{outcome="success"\} [2-9]/);
  expect(metrics).toContain("heddle_certificate_renewal_failures 0");
}, 90_000);

test("documents say how long certificates live: the Service before the Mesh", async () => {
  const text = (ttl: string) => `apiVersion: heddle/v1
kind: Mesh
metadata: { name: default }
spec: { trustDomain: mesh.local, certificateTtl: ${ttl} }
`;
  const service = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }], certificateTtl: 48h }
`;
  await send(mesh.control.ada, applying(text("2h")), { namespace: MESH_NAMESPACE });
  await send(mesh.control.ada, applying(service));
  const [web, app] = mesh.sidecars;
  if (web === undefined || app === undefined) throw new Error("there are no sidecars");
  // From the next renewal on, which is seconds away.
  await eventually(async () => {
    expect((await certificate(web)).lifeMs).toBeGreaterThan(47 * 3_600_000);
    const { lifeMs } = await certificate(app);
    expect(lifeMs).toBeGreaterThan(3_600_000);
    expect(lifeMs).toBeLessThanOrEqual(2 * 3_600_000);
  }, 60_000);
}, 90_000);

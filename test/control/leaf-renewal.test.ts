/** Certificates that live shortly are renewed under load, and nobody notices. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import { LoadedMesh } from "../support/loaded-mesh.ts";
import { eventually } from "../support/mesh.ts";
import type { TestSidecar } from "../support/sidecars.ts";
import { applying, send } from "./mesh.ts";

/** Long enough for a machine that stands still for some seconds, short enough to be renewed while one waits. */
const LEAF_TTL_MS = 30_000;

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

const MESH = `apiVersion: heddle/v1
kind: Mesh
metadata: { name: default }
spec: { trustDomain: mesh.local, certificateTtl: 2h }
`;
const WEB = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }], certificateTtl: 48h }
`;

test("every sidecar renews under constant load: nothing fails, and its documents say for how long", async () => {
  const load = await mesh.load();
  const before = await Promise.all(mesh.sidecars.map(certificate));
  await send(mesh.control.ada, applying(MESH), { namespace: MESH_NAMESPACE });
  await send(mesh.control.ada, applying(WEB));
  // From the next renewal on, which is seconds away.
  const after = await eventually(async () => {
    const now = await Promise.all(mesh.sidecars.map(certificate));
    for (const [index, { serial }] of now.entries()) expect(serial).not.toBe(before[index]?.serial ?? "");
    return now;
  }, 60_000);
  await load.another();
  await eventually(() => expect(Math.min(...Object.values(load.done))).toBeGreaterThan(10), 60_000);
  await load.stop();
  expect(load.failures).toEqual([]);
  // The Service's own word, and the Mesh's for the others.
  const [web, ...others] = after.map(({ lifeMs }) => lifeMs / 3_600_000);
  expect(web).toBeGreaterThan(47);
  for (const hours of others) {
    expect(hours).toBeGreaterThan(1);
    expect(hours).toBeLessThanOrEqual(2);
  }
  const metrics = await (await fetch(`${mesh.web.admin}/stats/prometheus`)).text();
  expect(metrics).toMatch(/heddle_certificate_renewals_total\{outcome="success"\} [2-9]/);
  expect(metrics).toContain("heddle_certificate_renewal_failures 0");
}, 90_000);

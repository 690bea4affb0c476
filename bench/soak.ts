/**
 * What nobody may notice, for as long as one cares to watch: a mesh under constant load (HTTP/1.1, gRPC, TCP over new
 * connections and over one that stays) whose certificates live for a minute, or whose roots are changed one after the
 * other. Run it as `npm run bench:soak -- renewal --minutes 10`, or with `rotation` in place of `renewal`. Needs
 * nats-server; control, sidecars and callers share this process. Exits with 1 where a single call has failed.
 */

import { parseArgs } from "node:util";
import { fold } from "../src/events/evolve.ts";
import { readEventLog } from "../src/events/jetstream-log.ts";
import { INITIAL_STATE, type MeshState } from "../src/events/state.ts";
import { MESH_NAMESPACE } from "../src/policy/names.ts";
import { send } from "../test/control/mesh.ts";
import type { ConstantLoad } from "../test/support/constant-load.ts";
import { LoadedMesh } from "../test/support/loaded-mesh.ts";

const MINUTE_MS = 60_000;
/** One of `renewal`; half of it is over when it is replaced. */
const LEAF_TTL_MS = MINUTE_MS;
/** Silence after which an instance is forgotten, for which a change of roots waits. */
const INSTANCE_TTL_MS = 5_000;
const LOOK_EVERY_MS = 1_000;
const FAILURES_SHOWN = 10;

/** What happens to the mesh meanwhile. Returns what there was to see, in words. */
type Disturbance = (mesh: LoadedMesh, untilMs: number) => Promise<string>;

const KINDS: Readonly<Record<string, Disturbance>> = {
  renewal: async ({ sidecars }, untilMs) => {
    while (Date.now() < untilMs) await Bun.sleep(LOOK_EVERY_MS);
    const counted = await Promise.all(sidecars.map(({ admin }) => renewals(admin)));
    const [renewed, failed] = [0, 1].map((at) => counted.reduce((sum, pair) => sum + (pair[at] ?? 0), 0));
    return `${renewed} certificates renewed, ${failed} attempts failed`;
  },
  rotation: async ({ control }, untilMs) => {
    const begin = () => send(control.ada, { kind: "rotate-root", action: "start" }, { namespace: MESH_NAMESPACE });
    const state = (): Promise<MeshState> => fold(INITIAL_STATE, readEventLog(control.ada.bus).read());
    await begin();
    while (Date.now() < untilMs) {
      await Bun.sleep(LOOK_EVERY_MS);
      if ((await state()).rotation === undefined) await begin();
    }
    const retired = [...(await state()).roots.values()].filter(({ status }) => status === "retired");
    return `${retired.length} roots retired`;
  },
};

/** Of a sidecar, by its own count: successes and failures. */
async function renewals(admin: string): Promise<[success: number, failure: number]> {
  const page = await (await fetch(`${admin}/stats/prometheus`)).text();
  const of = (outcome: string): number =>
    Number(
      new RegExp(`^heddle_certificate_renewals_total\\{outcome="${outcome}"\\} (\\d+)$`, "m").exec(page)?.[1] ?? 0,
    );
  return [of("success"), of("failure")];
}

function show(load: ConstantLoad, minutes: number, what: string): void {
  const calls = Object.entries(load.done).map(([kind, count]) => `${kind} ${count}`);
  console.log(`${minutes} min: ${calls.join(", ")} calls; ${what}; ${load.failures.length} calls failed`);
  for (const failure of load.failures.slice(0, FAILURES_SHOWN)) console.log(`  ${failure}`);
}

const { values, positionals } = parseArgs({
  options: { minutes: { type: "string", default: "10" } },
  allowPositionals: true,
});
const minutes = Number(values.minutes);
const disturb = KINDS[positionals[0] ?? "renewal"];
if (disturb === undefined || !(minutes > 0)) {
  console.error(`usage: npm run bench:soak -- ${Object.keys(KINDS).join("|")} [--minutes 10]`);
  process.exit(2);
}
const mesh = await LoadedMesh.start({ leafTtlMs: LEAF_TTL_MS, instanceTtlMs: INSTANCE_TTL_MS });
const load = await mesh.load();
const what = await disturb(mesh, Date.now() + minutes * MINUTE_MS);
await load.another();
await load.stop();
show(load, minutes, what);
await mesh.stop();
process.exit(load.failures.length > 0 ? 1 : 0);

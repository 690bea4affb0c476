/** Ten thousand changes: what was asked about the end is answered at once, and the way back stays short. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { FIRST_PREVIOUS } from "../../src/events/change.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import type { EventLog } from "../../src/events/log.ts";
import { changeOf } from "../support/ledger.ts";
import { CliMesh } from "./cli-mesh.ts";

setDefaultTimeout(60_000);

const CHANGES = 10_000;
/** Appends wait for one another within a namespace only. */
const NAMESPACES = 20;

/** Writes a history of one route whose traffic goes to and fro, in each namespace. */
async function writeHistory(log: EventLog, namespace: string, changes: number): Promise<void> {
  let [revision, previous] = [0, FIRST_PREVIOUS];
  for (let index = 0; index < changes; index++) {
    const change = changeOf(namespace, eventsOf(namespace, index), { actor: "bob", revision: index, previous });
    const appended = await log.append({ ...change, id: `${namespace}-${index}` }, revision);
    if (!appended.ok) throw new Error(`${namespace} is not ours alone`);
    ({ revision, hash: previous } = appended.value);
  }
}

function eventsOf(namespace: string, index: number): DomainEvent[] {
  const name = "catalog";
  if (index === 0) {
    const subsets = { v1: { version: "v1" }, v2: { version: "v2" } };
    const backends = [
      { subset: "v1", weight: 100 },
      { subset: "v2", weight: 0 },
    ];
    return [
      { type: "ServiceDeclared", namespace, name, spec: { ports: [{ port: 80, protocol: "http" }], subsets } },
      { type: "RouteDefined", namespace, name, spec: { service: name, rules: [{ backends }] } },
    ];
  }
  const weights = (v2: number) => ({ v1: 100 - v2, v2 });
  const from = weights((index - 1) % 100);
  return [{ type: "TrafficShifted", namespace, name, service: name, rule: 0, from, to: weights(index % 100) }];
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await work();
  console.log(`${what}: ${Math.round(performance.now() - startMs)} ms`);
  return result;
}

let mesh: CliMesh;

beforeAll(async () => {
  mesh = await CliMesh.start();
  await timed(`${CHANGES} changes written`, () =>
    Promise.all(
      Array.from({ length: NAMESPACES }, (_, index) => writeHistory(mesh.log, `ns-${index}`, CHANGES / NAMESPACES)),
    ),
  );
});

afterAll(async () => {
  await mesh.stop();
});

test("log answers from the end, whatever lies before", async () => {
  const entries = await timed("log --limit 20", () => mesh.json(["log", "--limit", "20"]));
  const last = await mesh.log.lastRevision();
  expect((entries as { revision: number }[]).map(({ revision }) => revision)).toEqual(
    Array.from({ length: 20 }, (_, index) => last - index),
  );
  const own = await timed("log -n ns-3", () => mesh.json(["log", "-n", "ns-3", "--limit", "30"]));
  expect((own as { namespace: string }[]).map(({ namespace }) => namespace)).toEqual(Array(30).fill("ns-3"));
  const first = await timed("log --kind Service, all the way back", () =>
    mesh.json(["log", "--kind", "service", "--limit", "1000"]),
  );
  expect(first).toHaveLength(NAMESPACES);
});

test("the state is read, and a namespace rolled back", async () => {
  const { stdout } = await timed("get", () => mesh.heddle(["get", "rt/catalog", "-n", "ns-7"]));
  expect(stdout).toContain("Route/ns-7/catalog");
  const target = (await mesh.json(["log", "-n", "ns-7", "--limit", "3"])) as { revision: number }[];
  const revision = String(target[2]?.revision);
  await timed("rollback", () => mesh.json(["rollback", revision, "-n", "ns-7", "--with-others", "--yes"]));
  const { stdout: past } = await mesh.heddle(["get", "rt/catalog", "-n", "ns-7", "-o", "yaml", "--at", revision]);
  const { stdout: present } = await mesh.heddle(["get", "rt/catalog", "-n", "ns-7", "-o", "yaml"]);
  expect(present).toBe(past);
  expect(present).toContain("weight: 97");
});

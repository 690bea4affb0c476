/** Failures on purpose as an operation: injected by command, met by real calls, ended by command or by the clock. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import type { CommandReply } from "../../src/control/protocol.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { describe as inWords } from "../../src/events/describe.ts";
import { foldAll } from "../../src/events/evolve.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import type { MeshState } from "../../src/events/state.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { CallJudge } from "../../src/replay/call.ts";
import { explain } from "../../src/replay/explain.ts";
import { LoadedMesh } from "../support/loaded-mesh.ts";
import { eventually } from "../support/mesh.ts";
import { send } from "./mesh.ts";

const APP = { namespace: "shop", name: "app" };
const TEAPOT = { abort: { status: 418 } };

let mesh: LoadedMesh;
beforeAll(async () => {
  mesh = await LoadedMesh.start();
});
afterAll(() => mesh.stop());

type Injection = Omit<Extract<CommandBody, { kind: "fault-inject" }>, "kind" | "service">;

function inject(said: Injection): Promise<CommandReply> {
  return send(mesh.control.ada, { kind: "fault-inject", service: APP, ...said });
}

function changes() {
  return Array.fromAsync(readEventLog(mesh.control.ada.bus).read());
}

async function state(): Promise<MeshState> {
  return foldAll(await changes());
}

async function statusOf(path: string, method = "GET"): Promise<number> {
  const { port } = mesh.web.sidecar.outboundAddress;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { host: "app.shop" } });
  await response.arrayBuffer();
  return response.status;
}

async function becomes(status: number, path = "/", method = "GET"): Promise<void> {
  await eventually(async () => expect(await statusOf(path, method)).toBe(status), 30_000);
}

test("it holds for the calls that it names, explain tells of it, and it ends when it is cleared", async () => {
  const match = { path: { template: "/items/*" }, methods: ["GET"], from: ["shop/web"] };
  expect((await inject({ id: "aaaa", match, fault: TEAPOT })).kind).toBe("decided");
  await becomes(418, "/items/7");
  expect(await statusOf("/items/7", "POST")).toBe(200);
  expect(await statusOf("/other")).toBe(200);

  const now = await state();
  const call = { source: { namespace: "shop", name: "web" }, destination: APP, method: "GET", headers: [] };
  const factsOf = (path: string) => explain(now, { ...call, path }, new CallJudge(now).judge({ ...call, path }));
  const fault = factsOf("/items/7").find(({ about }) => about === "fault");
  expect(fault?.text).toContain("abort with 418");
  expect(fault?.text).toContain("heddle fault clear aaaa");
  expect(factsOf("/other").some(({ about }) => about === "fault")).toBe(false);
  expect(isDeepStrictEqual(meshStateCodec.fromJson(JSON.parse(JSON.stringify(meshStateCodec.toJson(now)))), now)).toBe(
    true,
  );

  const cleared = await send(mesh.control.ada, { kind: "fault-clear", service: "app" });
  expect(cleared.kind).toBe("decided");
  await becomes(200, "/items/7");
});

test("the access log names the fault that a request met, and not the rule beside it", async () => {
  await inject({
    id: "gggg",
    fault: { delay: { percentiles: { p50: "1ms", p99: "2ms" } }, bandwidth: { bytesPerSecond: 1_000_000 } },
  });
  const reply = await inject({ id: "hhhh", match: { path: { exact: "/named" } }, fault: TEAPOT });
  await becomes(418, "/named");
  const revision = reply.kind === "decided" ? reply.revision : undefined;
  await eventually(async () => {
    const lines = await readFile(mesh.web.accessLogFile, "utf8");
    expect(lines).toContain(`"policy_origin":"shop/app[fault hhhh]@${revision}"`);
  }, 30_000);
  const words = (await changes()).flatMap(({ change }) => change.data.events.map((event) => inWords(event)));
  expect(words).toContain(
    "injected fault gggg into calls of shop/app: delay { p50: 1ms, p99: 2ms }, bodies at 1000000 bytes a second",
  );
  expect((await send(mesh.control.ada, { kind: "fault-clear", service: "app" })).kind).toBe("decided");
  await becomes(200, "/named");
});

test("its time being over, a control replica ends it once, though several look", async () => {
  await mesh.control.startReplica();
  const expiresAt = new Date(Date.now() + 3_000).toISOString();
  expect((await inject({ id: "bbbb", fault: TEAPOT, expiresAt })).kind).toBe("decided");
  await eventually(async () => expect((await state()).namespaces.get("shop")?.faults.size).toBe(0), 30_000);
  await becomes(200);
  const endings = (await changes()).flatMap(({ change }) =>
    change.data.events.filter((event) => event.type === "FaultCleared" && event.id === "bbbb").map(inWords),
  );
  expect(endings).toEqual(["cleared fault bbbb of shop/app: its time was over"]);
});

test("whoever reverts the change, or rolls back to before, ends it", async () => {
  for (const [id, kind] of [
    ["cccc", "revert"],
    ["dddd", "rollback"],
  ] as const) {
    const reply = await inject({ id, fault: TEAPOT });
    const revision = reply.kind === "decided" ? (reply.revision ?? 0) : 0;
    await becomes(418);
    const back = kind === "revert" ? { kind, revision } : { kind, toRevision: revision - 1 };
    expect((await send(mesh.control.ada, back)).kind).toBe("decided");
    await becomes(200);
  }
});

test("what is nobody's, is there already or is not there is refused", async () => {
  const nobody: CommandBody = { kind: "fault-inject", service: { ...APP, name: "apq" }, id: "eeee", fault: TEAPOT };
  expect(JSON.stringify(await send(mesh.control.ada, nobody))).toContain("did you mean shop/app?");
  expect((await send(mesh.control.ada, { kind: "fault-clear", id: "eeee" })).kind).toBe("refused");
  expect((await inject({ id: "ffff", fault: {} })).kind).toBe("refused");
});

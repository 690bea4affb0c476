/** Commands over a real server, from the operator's signature to the ledger. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { CommandSender } from "../../src/cli/command-client.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { applying, send, service, split, startMesh, type TestMesh, type TestReplica } from "./mesh.ts";

let mesh: TestMesh;
let replica: TestReplica;
let ada: CommandSender;
beforeAll(async () => {
  mesh = await startMesh();
  replica = await mesh.startReplica();
  ada = mesh.ada;
});
afterAll(() => mesh.stop());

test("a command is decided, recorded once, and by its actor", async () => {
  const reply = await send(ada, applying(service("orders")), { reason: "orders goes live" });
  if (reply.kind !== "decided") throw new Error(JSON.stringify(reply));
  expect(reply.events.map(({ type }) => type)).toEqual(["ServiceDeclared"]);
  const { revision } = reply;
  if (revision === undefined) throw new Error("nothing was recorded");
  expect(replica.revision).toBeGreaterThanOrEqual(revision);
  const [recorded] = await Array.fromAsync(readEventLog(ada.bus).read({ from: revision, to: revision }));
  expect(recorded?.change).toMatchObject({ subject: "shop", authtype: "user", authid: ada.credentials.publicKey });
  expect(recorded?.change.data).toMatchObject({
    actor: { name: "ada", publicKey: ada.credentials.publicKey },
    reason: "orders goes live",
    command: { kind: "apply" },
    events: reply.events,
  });
});

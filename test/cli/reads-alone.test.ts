/** With NATS up and no control replica anywhere, history and policy can still be read. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import { TestLedger } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { CommandLine, SHOP } from "./cli-mesh.ts";

setDefaultTimeout(30_000);

let nats: TestNats;
let line: CommandLine;

beforeAll(async () => {
  nats = await startTestNats();
  await nats.directory.remember({ url: nats.url });
  line = new CommandLine(nats.directory.path);
  const log = await openEventLog((await nats.connectControl()).bus);
  const ledger = new TestLedger();
  ledger.apply(await Bun.file(SHOP).text());
  for (const { change } of ledger.changes) await log.append(change, 0);
});

afterAll(async () => {
  await nats.stop();
});

test("get, log and show answer", async () => {
  expect(await line.json(["get", "svc", "-n", "shop"])).toHaveLength(4);
  expect(await line.json(["log"])).toMatchObject([{ revision: 2 }, { revision: 1 }]);
  expect(await line.json(["show", "2"])).toMatchObject({ signature: "none", chainIntact: true });
});

test("what needs a replica says that there is none", async () => {
  const commands = [
    ["status"],
    ["wait", "2"],
    ["shift", "shop/catalog", "v2=50"],
    ["rollback", "1", "--with-others", "--yes"],
  ];
  const outcomes = await Promise.all(commands.map((args) => line.heddle(args)));
  for (const { code, stdout, stderr } of outcomes) {
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("no control replica answers");
  }
  expect(outcomes[0]?.stderr).toStartWith("the ledger is at revision 2\n");
});

test("a directory without a mesh is named", async () => {
  const { code, stderr } = await new CommandLine("/nonexistent").heddle(["log"]);
  expect(code).toBe(1);
  expect(stderr).toContain("there is no mesh in /nonexistent");
});

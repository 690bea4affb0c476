/** `fault inject`, `list` and `clear`, as processes, against a real mesh; and what going back makes of faults. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { CliMesh, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(60_000);

let mesh: CliMesh;

beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.done("apply", "--yes", "-f", SHOP);
});
afterAll(() => mesh.stop());

interface ListedFault {
  readonly id: string;
  readonly service: string;
  readonly fault: unknown;
  readonly expiresAt?: string;
}

async function faults(...args: string[]): Promise<ListedFault[]> {
  return (await mesh.json(["fault", "list", ...args])) as ListedFault[];
}

test("what is injected is listed, and cleared by its name or by its service", async () => {
  await mesh.done("fault", "inject", "shop/catalog", "--delay", "p50=20ms,p99=800ms", "--percent", "10", "--for", "1h");
  await mesh.done(
    "fault",
    "inject",
    "shop/catalog",
    "--bandwidth",
    "16384",
    "--direction",
    "response",
    "--abort",
    "reset",
  );
  await mesh.done("fault", "inject", "payment", "-n", "shop", "--abort", "grpc:UNAVAILABLE", "--path", "/charge");
  const [slow, crawling, failing] = await faults();
  expect(slow).toMatchObject({
    service: "catalog",
    fault: { delay: { percentiles: { p50: "20ms", p99: "800ms" }, percent: 10 } },
  });
  expect(Date.parse(slow?.expiresAt ?? "")).toBeGreaterThan(Date.now());
  expect(crawling).toMatchObject({
    fault: { bandwidth: { bytesPerSecond: 16384, direction: "response" }, abort: { reset: true } },
  });
  expect(failing).toMatchObject({ service: "payment", fault: { abort: { grpcStatus: 14 } } });
  const shown = await mesh.done("fault", "list", "-n", "shop");
  expect(shown).toContain("delay { p50: 20ms, p99: 800ms } for 10%");
  expect(shown).toContain("response bodies at 16384 bytes a second, reset");
  expect(shown).toContain("when cleared");
  expect(await faults("-n", "nowhere")).toEqual([]);

  await mesh.done("fault", "clear", slow?.id ?? "");
  expect((await faults()).map(({ id }) => id)).toEqual([crawling?.id ?? "", failing?.id ?? ""]);
  await mesh.done("fault", "clear", "shop/catalog");
  expect((await faults()).map(({ id }) => id)).toEqual([failing?.id ?? ""]);
  await mesh.done("fault", "clear", "payment", "-n", "shop");
  expect(await mesh.done("fault", "list")).toContain("no faults are injected");
  const nothing = await mesh.heddle(["fault", "clear", "shop/catalog"]);
  expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringContaining("shop/catalog has no fault")]);
});

test("a rollback ends what began since, and says so beforehand", async () => {
  const [{ revision } = { revision: 0 }] = (await mesh.json(["log", "-n", "shop"])) as { revision: number }[];
  await mesh.done("fault", "inject", "shop/catalog", "--abort", "503");
  const [fault] = await faults();
  const dryRun = await mesh.heddle(["rollback", String(revision), "-n", "shop", "--dry-run"]);
  expect(dryRun.stdout + dryRun.stderr).toContain(`cleared fault ${fault?.id} of shop/catalog`);
  expect(await faults()).toHaveLength(1);
  await mesh.done("rollback", String(revision), "-n", "shop", "-y");
  expect(await faults()).toEqual([]);
});

test.each([
  [["--delay", "p99=1ms,p50=2ms"], "must not become shorter"],
  [["--delay", "pq=1ms"], "percentiles such as"],
  [["--delay", "soon"], "duration"],
  [["--bandwidth", "0"], "bytes a second"],
  [["--bandwidth", "9", "--direction", "sideways"], "request, response"],
  [["--direction", "request", "--delay", "1s"], "--direction says which bodies"],
  [[], "say what is to happen"],
  [["--abort", "99"], "HTTP status"],
  [["--abort", "503", "--percent", "101"], "share in percent"],
])("%j is refused with what to write", async (args, words) => {
  const { code, stderr } = await mesh.heddle(["fault", "inject", "shop/catalog", ...args]);
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)]);
});

/** The commands that look back, as processes, against a real mesh. The history is written once; nothing here adds to it. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { CliMesh, SHOP } from "./cli-mesh.ts";

// Each command is a process, on a machine that may be busy.
setDefaultTimeout(60_000);

let mesh: CliMesh;

/** Revision 1 is the mesh's own, 2 opens the shop, 3 shifts, 4 grants, 5 shifts again. */
beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.done("apply", "-y", "-f", SHOP, "--reason", "open the shop");
  await mesh.done("shift", "shop/catalog", "v2=0%", "--reason", "v2 is not there yet");
  await mesh.done("allow", "shop/web", "shop/catalog", "--methods", "POST", "--paths", "/", "--reason", "PCI-142");
  await mesh.done("shift", "shop/catalog", "v2=20%", "--reason", "canary");
});

afterAll(async () => {
  await mesh.stop();
});

describe("diff", () => {
  test("says in words what differs, from the one to the other and back", async () => {
    const there = await mesh.done("diff", "2", "4");
    expect(there).toBe(
      "shop\n  ~ shifted shop/catalog rule 1: v1 90%→100%, v2 10%→0%\n" +
        "  + declared the access policy catalog-access of shop/catalog\n  + granted shop/web → shop/catalog POST /\n",
    );
    expect(await mesh.done("diff", "4", "2")).toContain("- revoked shop/web → shop/catalog POST /");
  });

  test("goes up to now, and knows the changes before it", async () => {
    expect(await mesh.done("diff", "head~1")).toBe("shop\n  ~ shifted shop/catalog rule 1: v1 100%→80%, v2 0%→20%\n");
    const same = await mesh.heddle(["diff", "head", "--exit-code"]);
    expect(same).toMatchObject({ code: 0, stdout: "" });
    expect(same.stderr).toContain("nothing differs");
    expect((await mesh.heddle(["diff", "4", "--exit-code"])).code).toBe(1);
  });

  test("shows documents line by line with --full", async () => {
    const text = await mesh.done("diff", "3", "4", "--full");
    expect(text).toContain("AccessPolicy/shop/catalog-access added\n+ apiVersion: heddle/v1\n");
    expect(text).not.toContain("Route/shop/catalog");
  });

  test("shows what the sidecars of one service enforce differently with --service", async () => {
    const web = await mesh.done("diff", "2", "3", "--service", "shop/web");
    expect(web).toContain("-             weight: 90\n+             weight: 100\n");
    const unmoved = await mesh.heddle(["diff", "2", "3", "--service", "shop/payment"]);
    expect(unmoved.stderr).toContain("the sidecars of shop/payment enforce the same");
    expect((await mesh.heddle(["diff", "2", "3", "--service", "shop/nobody"])).code).toBe(1);
  });

  test("refuses a revision that has not come", async () => {
    expect(await mesh.heddle(["diff", "99"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there is no revision 99: the last one is 5"),
    });
    expect((await mesh.heddle(["diff", "yesterday"])).code).toBe(2);
  });
});

describe("at", () => {
  test("runs commands that read as of a moment", async () => {
    expect(await mesh.done("at", "3", "get", "ap")).not.toContain("catalog-access");
    expect(await mesh.done("at", "4", "get", "ap")).toContain("catalog-access");
    expect(await mesh.done("at", "2", "log", "--limit", "1")).toContain("open the shop");
    const status = await mesh.done("at", "3", "status", "-n", "shop");
    expect(status).toContain("mesh mesh.local at revision 3: mTLS strict, access deny by default");
    expect(status).toMatch(/shop\/catalog +8080 http +1 +2 +3 /);
  });

  test("understands times", async () => {
    expect(await mesh.done("at", "2000-01-01", "get", "-o", "json")).toBe("[]\n");
    expect(await mesh.done("at", new Date().toISOString(), "get", "ap")).toContain("catalog-access");
  });

  test("says what has no past", async () => {
    const { code, stderr } = await mesh.heddle(["at", "3", "apply", "-f", SHOP]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("apply has no past")]);
    expect((await mesh.heddle(["at", "soon", "get"])).code).toBe(2);
  });
});

describe("blame", () => {
  test("names the change behind each field", async () => {
    const text = await mesh.done("blame", "route/catalog", "-n", "shop");
    expect(text).toMatch(/spec\.rules\[1\]\.backends\[0\]\.weight +80 +5 +ada .*"canary"/);
    expect(text).toMatch(/spec\.rules\[1\]\.timeout +3s +2 +ada .*"open the shop"/);
    const past = await mesh.json(["blame", "Route/shop/catalog", "--at", "3"]);
    expect(past).toMatchObject({ document: "Route/shop/catalog", revision: 3 });
  });

  test("says what is not there", async () => {
    expect((await mesh.heddle(["blame", "Route/shop/none"])).stderr).toContain("there is no Route/shop/none");
  });
});

describe("explain", () => {
  test("takes the whole decision apart, each part with the change that put it there", async () => {
    const text = await mesh.done("explain", "shop/web", "shop/catalog", "GET", "/items");
    expect(text).toContain("shop/web → shop/catalog GET /items, as of revision 5");
    expect(text).toMatch(/backends +80% shop\/catalog v1, 20% shop\/catalog v2 +5 +ada .*"canary"/);
    expect(text).toMatch(/timeout +3s +2 +ada .*"open the shop"/);
    expect(text).toMatch(
      /retries +up to 3 of 800ms each on 5xx, connect-failure, gateway-error, at most 20% .* 2 +ada/,
    );
    expect(text).toMatch(/access +allowed by shop\/storefront\[0\]@2 +2 +ada/);
    expect(text).toMatch(/result +allowed: it reaches shop\/catalog/);
  });

  test("reads headers and the past", async () => {
    const beta = ["explain", "web", "catalog", "GET", "/", "-n", "shop", "-H", "X-Sticky-User: beta"];
    expect(await mesh.done(...beta)).toMatch(/backends +100% shop\/catalog v2/);
    expect(await mesh.done("at", "3", "explain", "web", "catalog", "GET", "/", "-n", "shop")).toMatch(
      /backends +100% shop\/catalog v1 +3 .*"v2 is not there yet"/,
    );
    expect(await mesh.json(["explain", "shop/orders", "shop/payment", "POST", "/charge"])).toMatchObject({
      allowed: true,
      outcomes: [{ share: 1, service: "shop/payment", rule: { document: "shop/payment-allow-orders", rule: 0 } }],
      facts: expect.arrayContaining([
        expect.objectContaining({ about: "rate limit", document: "RateLimit/shop/payment", path: "spec.rules[0]" }),
      ]),
    });
    expect((await mesh.heddle(["explain", "shop/web", "shop/catalog", "GET"])).code).toBe(2);
    expect((await mesh.heddle([...beta, "-H", "no header"])).code).toBe(2);
  });
});

describe("can", () => {
  test("answers by its exit code, now and then", async () => {
    const call = ["can", "shop/web", "shop/catalog", "POST", "/"];
    expect(await mesh.heddle(call)).toMatchObject({ code: 0, stdout: expect.stringContaining("yes: ") });
    const then = await mesh.heddle([...call, "--at", "3"]);
    expect([then.code, then.stdout]).toEqual([1, expect.stringContaining("no: ")]);
  });

  test("takes all that rules can ask about", async () => {
    const call = ["can", "shop/web", "shop/catalog", "GET", "/"];
    const facts = [
      "--ip",
      "10.1.2.3",
      "--port",
      "8080",
      "--claim",
      "role=admin",
      "--label",
      "version=v1",
      "--sni",
      "a.b",
    ];
    expect((await mesh.heddle([...call, ...facts])).code).toBe(0);
    expect((await mesh.heddle([...call, "--port", "99999"])).code).toBe(2);
    expect((await mesh.heddle([...call, "--claim", "admin"])).code).toBe(2);
  });

  test("says what would allow it, and which rule forbids it", async () => {
    const { code, stdout } = await mesh.heddle(["can", "shop/orders", "shop/payment", "GET", "/charge?x=1"]);
    expect(code).toBe(1);
    expect(stdout).toContain("to allow it: heddle allow shop/orders shop/payment --methods GET --paths /charge\n");
    const forbidden = await mesh.heddle(["can", "shop/web", "shop/orders", "GET", "/admin/users"]);
    expect(forbidden.stdout).toBe(
      "no: shop/web → shop/orders GET /admin/users is denied with 403, by shop/orders[1]@2\n",
    );
    expect((await mesh.heddle(["can", "shop/web", "shop/nobody", "GET", "/"])).stdout).toContain("no such service");
  });
});

test("who-can lists the callers, what they may ask, and by which rules", async () => {
  const text = await mesh.done("who-can", "shop/catalog");
  expect(text).toMatch(/shop\/orders +GET on any path +shop\/storefront\[0\]@2 by ada/);
  expect(text).toMatch(/shop\/web +GET, POST \/; GET on any path but \/ +/);
  expect(await mesh.json(["who-can", "shop/catalog", "POST", "/"])).toMatchObject({
    service: "shop/catalog",
    callers: [{ caller: "shop/web", origins: [{ document: "shop/catalog-access", revision: 4, actor: "ada" }] }],
  });
  const none = await mesh.heddle(["at", "3", "who-can", "shop/catalog", "POST", "/"]);
  expect([none.stdout, none.stderr]).toEqual(["", "nobody may POST / on shop/catalog\n"]);
  expect((await mesh.heddle(["who-can", "shop/nobody"])).code).toBe(1);
});

test("whoever names a service that is none is told which was probably meant", async () => {
  const slip = await mesh.heddle(["who-can", "shop/catlog"]);
  expect(slip.stderr).toEndWith("; did you mean shop/catalog?\n");
  const ends: readonly (readonly [from: string, to: string, told: string])[] = [
    ["shop/web", "shop/catlog", "did you mean shop/catalog?\n"],
    ["shop/wbe", "shop/catalog", "did you mean shop/web?\n"],
    ["shp/web", "shop/catalog", "did you mean shop/web?\n"],
    ["shop/web", "shop/catalog", ""],
    ["shop/web", "shop/nobody", ""],
  ];
  for (const [from, to, told] of ends) {
    expect([from, to, (await mesh.heddle(["explain", from, to, "GET", "/"])).stderr]).toEqual([from, to, told]);
  }
});

describe("log", () => {
  test("answers who changed access to a service, when and why", async () => {
    const text = await mesh.done("log", "--access", "--destination", "shop/catalog", "--since", "3");
    expect(text.trimEnd().split("\n")).toHaveLength(2);
    expect(text).toMatch(/^4 .* ada .*granted shop\/web → shop\/catalog POST \/ "PCI-142"$/m);
  });

  test("takes the service as it is said, and tells the time in full where that is asked for", async () => {
    const named = await mesh.done("log", "shop/catalog", "--absolute", "-n", "shop");
    expect(named).toBe(await mesh.done("log", "--service", "catalog", "--absolute", "-n", "shop"));
    expect(named).toMatch(/^4 +\d{4}-\d\d-\d\d.* ada /m);
    expect((await mesh.heddle(["log", "shop/catalog", "--service", "shop/web"])).code).toBe(2);
  });

  test("draws a lane for each namespace, and prints YAML", async () => {
    const graph = await mesh.done("log", "--graph");
    expect(graph).toMatch(/^\* +shop +5 /m);
    expect(graph).toMatch(/^ {2}\* +_mesh +1 /m);
    expect(await mesh.done("log", "--limit", "1", "-o", "yaml")).toStartWith("- revision: 5\n  namespace: shop\n");
    expect((await mesh.heddle(["log", "--graph", "--follow"])).code).toBe(2);
  });
});

describe("audit report", () => {
  test("tells who had access at both ends, and who changed it, under a proved head", async () => {
    const text = await mesh.done("audit", "report", "--from", "3");
    expect(text).toContain("- ledger: sound: chain and signatures hold\n- head of the ledger: `5:");
    expect(text).toContain("## Who had access at revision 3\n");
    expect(text).toMatch(/\| 4 \| \S+ \| ada \| granted shop\/web → shop\/catalog POST \/ \| PCI-142 \| valid \|/);
    expect(text).toContain("| shop/web | shop/catalog | POST / | became possible |");
    expect(text).toMatch(/- signed by: ada U[A-Z2-7]{55}\n- signature: `[\w-]{86}`/);
    const head = /head of the ledger: `([^`]+)`/.exec(text)?.[1] ?? "";
    expect(await mesh.done("verify", "--head", head)).toContain("verified: 5 changes");
  });

  test("comes as a page, a table or a value as well", async () => {
    const file = await mesh.file("report.html", "");
    await mesh.done("audit", "report", "--from", "1", "--format", "html", "--out", file);
    expect(await Bun.file(file).text()).toStartWith("<!doctype html>");
    expect(await mesh.done("audit", "report", "--from", "1", "--format", "csv", "-n", "shop")).toStartWith(
      '"section","service"',
    );
    expect(JSON.parse(await mesh.done("audit", "report", "--from", "1", "--format", "json"))).toMatchObject({
      sections: [{}, {}, {}, {}],
    });
    expect((await mesh.heddle(["audit", "report"])).code).toBe(2);
    expect((await mesh.heddle(["audit", "report", "--from", "5", "--to", "2"])).code).toBe(1);
  });
});

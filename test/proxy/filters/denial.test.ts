import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compileAccess } from "../../../src/proxy/filters/access.ts";
import type { Caller } from "../../../src/proxy/filters/access-input.ts";
import { describeDenial, grantCommand, shellQuote } from "../../../src/proxy/filters/denial.ts";
import { accessRequest, inbound, origin, peer } from "../fixture.ts";

const access = compileAccess(
  inbound([
    {
      action: "allow",
      from: ["shop/orders"],
      methods: ["POST"],
      paths: ["/charge"],
      origin: origin("shop/payment-allow-orders"),
    },
    { action: "deny", paths: ["/admin"], origin: origin("shop/payment-deny", 1, 40) },
  ]),
);

function deny(caller: Caller | undefined, method: string, target: string) {
  const decision = access(peer(caller), accessRequest(method, target));
  expect(decision.allowed).toBe(false);
  return describeDenial({ caller, service: "shop/payment", method, target, revision: 42, decision });
}

const web: Caller = { namespace: "shop", service: "web" };
const orders: Caller = { namespace: "shop", service: "orders" };

describe("describeDenial", () => {
  test("nothing allowed it: says who, what, as of when, and the command that would", () => {
    expect(deny(web, "GET", "/charge?card=4711")).toEqual({
      details: "rbac_access_denied_matched_policy[none]@42",
      header:
        "shop/web may not GET /charge on shop/payment: no rule allows this caller (policy revision 42). " +
        "To allow it: heddle allow shop/web shop/payment --methods GET --paths /charge",
      body:
        "Denied: shop/web may not GET /charge on shop/payment.\n" +
        "Why: no rule allows this caller (policy revision 42).\n" +
        "To allow it: heddle allow shop/web shop/payment --methods GET --paths /charge\n",
    });
  });

  test("a deny rule: names it, and offers no grant, since none would help", () => {
    const { details, header } = deny(orders, "POST", "/admin");
    expect(details).toBe("rbac_access_denied_matched_policy[shop/payment-deny[1]@40]");
    expect(header).toContain("the deny rule shop/payment-deny[1]@40 forbids it");
    expect(header).not.toContain("heddle allow");
  });

  test("a grant that misses by the method: says so", () => {
    expect(deny(orders, "GET", "/charge").header).toContain(
      "shop/payment-allow-orders[0]@42 allows this caller POST on /charge, but not GET /charge",
    );
  });

  test("nobody: to come with a certificate, or what would let anybody in", () => {
    const { details, header } = deny(undefined, "GET", "/charge");
    expect(details).toBe("rbac_access_denied_matched_policy[none]@42");
    expect(header).toContain("a caller without a certificate may not GET /charge");
    expect(header).toEndWith(
      "What to do: Call through a Heddle sidecar, which proves who the caller is, " +
        "or let anybody: heddle allow none shop/payment --methods GET --paths /charge",
    );
  });

  test("whatever the client sends, the header is one bounded line of printable ASCII", () => {
    const text = fc.string({ unit: "binary", maxLength: 300 });
    fc.assert(
      fc.property(text, text, (method, path) => {
        const { header, body } = deny(web, method, `/${path}`);
        expect(header).toMatch(/^[\x20-\x7e]{1,1000}$/);
        expect(body).toMatch(/^(?:[\x20-\x7e]+\n){3}$/);
      }),
    );
  });
});

describe("grantCommand", () => {
  test.each([
    ["GET", "/charge", "heddle allow shop/web shop/payment --methods GET --paths /charge"],
    ["GET", "/a&b", "heddle allow shop/web shop/payment --methods GET --paths '/a&b'"],
    ["GET", "/$(reboot)", "heddle allow shop/web shop/payment --methods GET --paths '/$(reboot)'"],
    ["GET", "/it's", `heddle allow shop/web shop/payment --methods GET --paths '/it'\\''s'`],
    ["M-SEARCH", "/", "heddle allow shop/web shop/payment --methods M-SEARCH --paths /"],
    ["get", "/", undefined],
    ["$X", "/", undefined],
    ["GET", "*", undefined],
    ["GET", "/*", undefined],
    ["GET", "/a,/admin", undefined],
    ["GET", `/${"a".repeat(200)}`, undefined],
    ["GET", "/a\n", undefined],
  ])("%s %j", (method, path, command) => {
    expect(grantCommand("shop/web", "shop/payment", method, path)).toBe(command);
  });

  test("a shell reads back the very word that was quoted", async () => {
    const words = fc.sample(fc.stringMatching(/^[!-~]+$/), { numRuns: 200, seed: 1 });
    const script = `printf '%s\\n' ${words.map(shellQuote).join(" ")}`;
    const shell = Bun.spawn(["sh", "-c", script], { stdout: "pipe" });
    expect((await new Response(shell.stdout).text()).split("\n").slice(0, -1)).toEqual(words);
  });
});

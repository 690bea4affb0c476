import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compileAccess } from "../../../src/proxy/filters/access.ts";
import type { Caller } from "../../../src/proxy/filters/access-input.ts";
import { normalisePath } from "../../../src/proxy/route/path.ts";
import { accessRequest, inbound, peer } from "../fixture.ts";
import { ledger, orders, partner, rule, web } from "./access-rules.ts";

describe("compileAccess: OPTIONS *", () => {
  test.each([
    ["everything", [rule("allow")], true],
    ["the root", [rule("allow", { paths: ["/"] })], true],
    ["every path", [rule("allow", { paths: ["/*"] })], true],
    ["some paths", [rule("allow", { paths: ["/public/*"] })], false],
    ["all but some paths", [rule("allow", { notPaths: ["/admin/*"] })], true],
    ["a denial of every path", [rule("allow"), rule("deny", { paths: ["/*"] })], false],
    ["a denial of the root", [rule("allow"), rule("deny", { paths: ["/"] })], false],
    ["a denial of some paths", [rule("allow"), rule("deny", { paths: ["/admin/*"] })], true],
    ["other methods", [rule("allow", { methods: ["GET"] })], false],
  ] as const)("%s", (_, rules, allowed) => {
    expect(compileAccess(inbound(rules, "deny"))(peer(web), accessRequest("OPTIONS", "*")).allowed).toBe(allowed);
  });
});

describe("compileAccess: who", () => {
  const callers: readonly (Caller | undefined)[] = [web, orders, ledger, undefined, partner];
  /** One column per caller: shop/web, shop/orders, bank/ledger, nobody, the shop/web of another trust domain. */
  test.each([
    ["no rules, default deny", [], "deny", "-----"],
    ["no rules, default allow", [], "allow", "+++++"],
    ["one service", [rule("allow", { from: ["shop/web"] })], "deny", "+----"],
    ["two services", [rule("allow", { from: ["shop/web", "bank/ledger"] })], "deny", "+-+--"],
    ["a namespace", [rule("allow", { from: ["shop/*"] })], "deny", "++---"],
    ["every authenticated caller", [rule("allow", { from: ["*"] })], "deny", "+++--"],
    ["`from` absent", [rule("allow")], "deny", "+++--"],
    ["deny after allow", [rule("allow"), rule("deny", { from: ["shop/web"] })], "deny", "-++--"],
    ["deny before allow", [rule("deny", { from: ["shop/*"] }), rule("allow")], "deny", "--+--"],
    ["deny for all, under allow", [rule("deny")], "allow", "-----"],
    ["deny `*`, under allow", [rule("deny", { from: ["*"] })], "allow", "-----"],
    ["deny one, under allow", [rule("deny", { from: ["bank/ledger"] })], "allow", "++-++"],
    ["a grant for others, under allow", [rule("allow", { from: ["shop/web"] })], "allow", "+++++"],
    ["nobody by name", [rule("allow", { from: ["none"] })], "deny", "---+-"],
    ["everybody", [rule("allow", { from: ["*", "none", "spiffe://partner.example/*"] })], "deny", "+++++"],
    ["another domain", [rule("allow", { from: ["spiffe://partner.example/ns/shop/sa/web"] })], "deny", "----+"],
    ["one like it", [rule("allow", { from: ["spiffe://partner.example/ns/shop/sa/we"] })], "deny", "-----"],
    ["its namespace", [rule("allow", { from: ["spiffe://partner.example/ns/shop/*"] })], "deny", "----+"],
    ["all but one", [rule("allow", { notFrom: ["shop/web"] })], "deny", "-++--"],
    ["all but foreigners and nobody", [rule("deny", { notFrom: ["*"] })], "allow", "+++--"],
    ["deny all but one", [rule("deny", { notFrom: ["shop/web"] })], "allow", "+----"],
    ["deny nobody", [rule("deny", { from: ["none"] })], "allow", "+++-+"],
    ["a namespace but one of it", [rule("allow", { from: ["shop/*"], notFrom: ["shop/web"] })], "deny", "-+---"],
    ["an audit rule decides nothing", [rule("audit"), rule("allow", { from: ["shop/web"] })], "deny", "+----"],
    ["nor does a dry run", [rule("deny", { dryRun: true }), rule("allow", { from: ["shop/web"] })], "deny", "+----"],
  ] as const)("%s", (_, rules, accessDefault, expected) => {
    const access = compileAccess(inbound(rules, accessDefault));
    const verdicts = callers.map((caller) => (access(peer(caller), accessRequest("GET", "/")).allowed ? "+" : "-"));
    expect(verdicts.join("")).toBe(expected);
  });
});

describe("compileAccess: what", () => {
  const access = compileAccess(
    inbound([
      rule("allow", { from: ["shop/orders"], methods: ["POST"], paths: ["/charge"] }, 0),
      rule("allow", { from: ["shop/web"] }, 1),
      rule("deny", { paths: ["/admin", "/admin/*", "/jobs:reset", "/caf\u00e9"] }, 2),
    ]),
  );

  test.each([
    [orders, "POST", "/charge", 0],
    [orders, "POST", "/charge?amount=1", 0],
    [orders, "GET", "/charge", undefined],
    [orders, "post", "/charge", undefined],
    [orders, "POST", "/charges", undefined],
    [orders, "POST", "/charge/", undefined],
    [orders, "POST", "/charge;v=1", undefined],
    [orders, "POST", "/%63harge", 0],
    [web, "DELETE", "/anything", 1],
    [web, "GET", "/administrator", 1],
    [web, "GET", "/admin", 2],
    [web, "GET", "/admin?x", 2],
    [web, "GET", "/admin/", 2],
    [web, "GET", "/admin/x", 2],
    [web, "GET", "/x/../admin", 2],
    [web, "GET", "//admin", 2],
    [web, "GET", "/%61dmin", 2],
    [web, "GET", "/admin%2Fx", 2],
    [web, "GET", "/%2fadmin", 2],
    [web, "GET", "/admin%5cx", 2],
    [web, "GET", "/admin;v=1", 2],
    [web, "GET", "/admin%3Bv=1", 2],
    [web, "GET", "/jobs:reset", 2],
    [web, "GET", "/jobs%3areset", 2],
    [web, "GET", "/caf%c3%a9", 2],
  ])("%j %s %s is decided by rule %p", (caller, method, raw, index) => {
    const path = normalisePath(raw);
    if (!path.ok) throw new Error(path.error);
    const decision = access(peer(caller), accessRequest(method, path.value));
    expect(decision.origin?.rule).toBe(index);
    expect(decision.allowed).toBe(index === 0 || index === 1);
    expect(decision.reason).toBe(index === undefined ? "default" : index === 2 ? "deny_rule" : "allow_rule");
  });

  test("a denial of nobody says that no rule could have helped", () => {
    expect(access(peer(undefined), accessRequest("GET", "/"))).toMatchObject({
      allowed: false,
      reason: "unauthenticated",
      origin: undefined,
    });
  });
});

describe("compileAccess: what would be", () => {
  test("audit rules speak of what they match, whatever is decided", () => {
    const access = compileAccess(
      inbound([
        rule("audit", { methods: ["DELETE"] }, 0),
        rule("audit", {}, 1),
        rule("allow", { from: ["shop/web"] }, 2),
      ]),
    );
    const found = (caller: Caller, method: string): unknown =>
      access(peer(caller), accessRequest(method, "/")).audit.map(({ outcome, origin }) => [outcome, origin?.rule]);
    expect(found(web, "DELETE")).toEqual([
      ["would_match", 0],
      ["would_match", 1],
    ]);
    expect(found(orders, "GET")).toEqual([["would_match", 1]]);
  });

  test("a policy in dry run speaks where it would change the decision, and nowhere else", () => {
    const access = compileAccess({
      ...inbound([
        rule("allow", { from: ["shop/*"] }, 0),
        rule("deny", { methods: ["DELETE"], dryRun: true }, 1),
        rule("allow", { from: ["bank/*"], dryRun: true }, 2),
      ]),
    });
    const asked = (caller: Caller, method: string): unknown => {
      const { allowed, audit } = access(peer(caller), accessRequest(method, "/"));
      return [allowed, ...audit.map(({ outcome, origin }) => [outcome, origin?.rule])];
    };
    expect(asked(web, "GET")).toEqual([true]);
    expect(asked(web, "DELETE")).toEqual([true, ["would_deny", 1]]);
    expect(asked(ledger, "GET")).toEqual([false, ["would_allow", 2]]);
    expect(asked(ledger, "DELETE")).toEqual([false]);
  });

  test("a default in dry run speaks of what no rule speaks of", () => {
    const access = compileAccess({
      ...inbound([rule("allow", { from: ["shop/web"] })], "allow"),
      accessDefaultDryRun: "deny",
    });
    expect(access(peer(web), accessRequest("GET", "/"))).toMatchObject({ allowed: true, audit: [] });
    expect(access(peer(orders), accessRequest("GET", "/"))).toMatchObject({
      allowed: true,
      audit: [{ outcome: "would_deny", origin: undefined }],
    });
  });
});

describe("compileAccess: the nearest grant", () => {
  const access = compileAccess(
    inbound([
      rule("allow", { from: ["shop/web"], methods: ["PUT"], paths: ["/a"] }, 0),
      rule("allow", { from: ["shop/web"], methods: ["GET"], paths: ["/b/*"] }, 1),
      rule("allow", { from: ["shop/web"], methods: ["POST"], paths: ["/c"] }, 2),
    ]),
  );

  test.each([
    [web, "DELETE", "/c", 2],
    [web, "GET", "/c", 2],
    [web, "POST", "/x", 2],
    [web, "GET", "/x", 1],
    [web, "DELETE", "/x", 0],
    [orders, "GET", "/a", undefined],
  ])("%j %s %s: rule %p", (caller, method, path, index) => {
    expect(access(peer(caller), accessRequest(method, path)).nearest?.rule.origin.rule).toBe(index);
  });
});

test("agrees with the plainest reading of the rules, whatever their order", () => {
  const names = fc.subarray(["shop/web", "shop/*", "bank/ledger", "*"], { minLength: 1 });
  const rules = fc.array(
    fc.record({
      action: fc.constantFrom("allow" as const, "deny" as const),
      from: fc.option(names),
      methods: fc.option(fc.subarray(["GET", "POST"], { minLength: 1 })),
      paths: fc.option(fc.subarray(["/a", "/a/*", "/b*"], { minLength: 1 })),
    }),
    { maxLength: 5 },
  );
  const callers = fc.constantFrom(web, orders, ledger, undefined);
  const method = fc.constantFrom("GET", "POST", "PUT");
  const path = fc.constantFrom("/", "/a", "/a/", "/a/x", "/ab", "/b", "/bc");
  const byDefault = fc.constantFrom("allow" as const, "deny" as const);
  fc.assert(
    fc.property(rules, byDefault, callers, method, path, (list, accessDefault, caller, verb, target) => {
      const applies = list.filter(
        ({ action, from, methods, paths }) =>
          (from === null || from.includes("*")
            ? action === "deny" || caller !== undefined
            : from.some(
                (one) => caller && [`${caller.namespace}/${caller.service}`, `${caller.namespace}/*`].includes(one),
              )) &&
          (methods?.includes(verb) ?? true) &&
          (paths?.some((one) => (one.endsWith("*") ? target.startsWith(one.slice(0, -1)) : target === one)) ?? true),
      );
      const expected = applies.some(({ action }) => action === "deny")
        ? false
        : applies.length > 0 || accessDefault === "allow";
      const compiled = compileAccess(
        inbound(
          list.map(({ action, from, methods, paths }, index) =>
            rule(action, { ...(from && { from }), ...(methods && { methods }), ...(paths && { paths }) }, index),
          ),
          accessDefault,
        ),
      );
      expect(compiled(peer(caller), accessRequest(verb, target)).allowed).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

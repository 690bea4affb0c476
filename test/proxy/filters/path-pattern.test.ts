import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compilePaths } from "../../../src/proxy/filters/path-pattern.ts";

describe("compilePaths", () => {
  test.each([
    ["/charge", ["/charge"], ["/charge/", "/charges", "/"]],
    ["/admin*", ["/admin", "/administrator", "/admin/x"], ["/adm"]],
    ["/admin/*", ["/admin/", "/admin/x/y"], ["/admin"]],
    ["/*", ["/", "/x/y"], []],
    ["/**", ["/", "/x", "/x/y/"], []],
    ["/a/**", ["/a", "/a/", "/a/b/c"], ["/ab", "/"]],
    ["/**/health", ["/health", "/a/health", "/a/b/health"], ["/healthy", "/a/xhealth", "/health/"]],
    ["/a/**/b/**/c", ["/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c/c"], ["/a/c", "/a/b", "/a/xb/c"]],
    ["/files/*.json", ["/files/a.json", "/files/.json", "/files/a.b.json"], ["/files/a/b.json", "/files/a.jsonx"]],
    ["/users/{id}", ["/users/7", "/users/{id}"], ["/users/", "/users/7/", "/users/7/8"]],
    ["/users/{id}/orders/{order}", ["/users/7/orders/8"], ["/users//orders/8", "/users/7/orders/"]],
    ["/users/*/orders", ["/users/7/orders"], ["/users//orders", "/users/7/8/orders"]],
    ["/users/*/orders/*", ["/users/7/orders/", "/users/7/orders/8/9"], ["/users/7/orders"]],
    ["/v*/x*y", ["/v1/xy", "/v/x1y"], ["/v1/x", "/v1/x/y", "/1/xy"]],
    ["/a/x*", ["/a/x", "/a/xyz", "/a/x/y"], ["/a/yx"]],
    ["/{id}.json", ["/{id}.json"], ["/7.json"]],
    ["/caf\u00e9/{x}", ["/caf%C3%A9/7"], ["/cafe/7"]],
  ])("%s", (pattern, matching, others) => {
    const matches = compilePaths([pattern], false);
    expect(matching.filter((path) => !matches(path))).toEqual([]);
    expect(others.filter((path) => matches(path))).toEqual([]);
    expect(matching.filter((path) => !compilePaths([pattern], true)(path))).toEqual([]);
  });

  test("agrees with a regular expression on whatever patterns and paths", () => {
    const segment = fc.constantFrom("a", "ab", "*", "**", "{x}", "a*b", "*a", "");
    const pattern = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => `/${parts.join("/")}`);
    const path = fc
      .array(fc.constantFrom("a", "b", "ab", "aab", ""), { maxLength: 6 })
      .map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(pattern, path, (written, asked) => {
        expect([written, asked, compilePaths([written], false)(asked)]).toEqual([
          written,
          asked,
          expressionOf(written).test(asked),
        ]);
      }),
      { numRuns: 3000 },
    );
  });

  test("never goes back over a path: what would take for ever otherwise is over at once", () => {
    const matches = compilePaths([`/${"*a".repeat(60)}*b/**/c`], false);
    expect(matches(`/${"a".repeat(16_000)}`)).toBe(false);
  });
});

function expressionOf(pattern: string): RegExp {
  const segments = pattern.slice(1).split("/");
  const source = segments.map((segment, index) => {
    const isLast = index === segments.length - 1;
    if (segment === "**") return "(?:/[^]*)?";
    if (segment === "{x}" || (segment === "*" && !isLast)) return "/[^/]+";
    const parts = segment.split("*");
    return `/${parts.map((part, at) => (at === 0 ? part : `${isLast && at === parts.length - 1 && part === "" ? "[^]*" : "[^/]*"}${part}`)).join("")}`;
  });
  return new RegExp(`^${source.join("")}$`);
}

import { describe, expect, test } from "bun:test";
import { parseKeyArgument, parseKind, parseSelection } from "../../src/cli/input/document-argument.ts";

describe("kinds", () => {
  test.each([
    ["Service", "Service"],
    ["services", "Service"],
    ["svc", "Service"],
    ["SVC", "Service"],
    ["route", "Route"],
    ["rt", "Route"],
    ["routes", "Route"],
    ["ap", "AccessPolicy"],
    ["accesspolicies", "AccessPolicy"],
    ["AccessPolicy", "AccessPolicy"],
    ["rl", "RateLimit"],
    ["ratelimits", "RateLimit"],
    ["mesh", "Mesh"],
  ])("%s means %s", (text, kind) => {
    expect(parseKind(text)).toEqual({ ok: true, value: kind as never });
  });

  test("a slip is answered with what was meant", () => {
    expect(parseKind("rouet")).toEqual({ ok: false, error: '"rouet" is no kind of document; did you mean route?' });
    expect(parseKind("constructor").ok).toBe(false);
  });
});

describe("selections", () => {
  test.each([
    [[], {}],
    [["routes"], { kind: "Route" }],
    [["route/catalog"], { kind: "Route", name: "catalog" }],
    [["route", "catalog"], { kind: "Route", name: "catalog" }],
    [["route", "shop/catalog"], { kind: "Route", namespace: "shop", name: "catalog" }],
    [["Route/shop/catalog"], { kind: "Route", namespace: "shop", name: "catalog" }],
  ])("%j", (args, selection) => {
    expect(parseSelection(args)).toEqual({ ok: true, value: selection as never });
  });

  test.each([[["route/"]], [["route//x"]], [["route", "a", "b"]], [["a/b/c/d"]], [["nothing"]], [["/x"]]])(
    "%j is none",
    (args) => {
      expect(parseSelection(args).ok).toBe(false);
    },
  );
});

describe("keys", () => {
  test.each([
    ["Route/shop/catalog", undefined, "Route/shop/catalog"],
    ["rt/shop/catalog", undefined, "Route/shop/catalog"],
    ["rt/catalog", "shop", "Route/shop/catalog"],
    ["rt/bank/vault", "shop", "Route/bank/vault"],
    ["mesh/default", undefined, "Mesh/_mesh/default"],
  ])("%s in %p is %s", (text, namespace, key) => {
    expect(parseKeyArgument(text, namespace)).toEqual({ ok: true, value: key as never });
  });

  test.each([["rt/catalog"], ["rt"], ["rt/shop/Catalog"], ["rt/_mesh/x"], ["nonsense/shop/x"]])(
    "%s is none",
    (text) => {
      expect(parseKeyArgument(text, undefined).ok).toBe(false);
    },
  );
});

import { describe, expect, test } from "bun:test";
import { parseIdentity, parseSpiffeId, trustDomainId, workloadIdentity } from "../../../src/ca/workload/spiffe-id.ts";

test("a workload's identity and its text are the same thing", () => {
  const identity = workloadIdentity("mesh.local", "shop", "orders");
  expect(identity).toEqual({
    trustDomain: "mesh.local",
    namespace: "shop",
    service: "orders",
    id: "spiffe://mesh.local/ns/shop/sa/orders",
  });
  expect(parseIdentity(identity.id)).toEqual({ ok: true, value: identity });
  expect(() => workloadIdentity("mesh.local", "Shop", "orders")).toThrow(TypeError);
});

describe("SPIFFE-ID §2: legal", () => {
  test.each([
    ["spiffe://mesh.local", "mesh.local", []],
    ["spiffe://a_b-c.9/x/Y.z/_", "a_b-c.9", ["x", "Y.z", "_"]],
    [`spiffe://${"a".repeat(255)}`, "a".repeat(255), []],
    [`spiffe://a/${"p".repeat(2048 - 11)}`, "a", ["p".repeat(2048 - 11)]],
    ["spiffe://a/...", "a", ["..."]],
  ])("%p", (text, trustDomain, segments) => {
    expect(parseSpiffeId(text)).toEqual({ ok: true, value: { trustDomain, segments } });
  });

  test("a trust domain's own ID has no path", () => {
    expect(parseSpiffeId(trustDomainId("mesh.local"))).toEqual({
      ok: true,
      value: { trustDomain: "mesh.local", segments: [] },
    });
  });
});

describe("SPIFFE-ID §2: refused", () => {
  test.each([
    "",
    "mesh.local/ns/shop/sa/orders",
    "http://mesh.local/x",
    "SPIFFE://mesh.local/x",
    "spiffe:/mesh.local",
    "spiffe://",
    "spiffe:///ns/shop",
    "spiffe://Mesh.local",
    "spiffe://mesh.local:443/x",
    "spiffe://user@mesh.local/x",
    "spiffe://mésh.local",
    "spiffe://mesh%2elocal",
    `spiffe://${"a".repeat(256)}`,
    `spiffe://a/${"p".repeat(2048 - 10)}`,
    "spiffe://mesh.local/",
    "spiffe://mesh.local/x/",
    "spiffe://mesh.local//x",
    "spiffe://mesh.local/./x",
    "spiffe://mesh.local/x/..",
    "spiffe://mesh.local/x%2fy",
    "spiffe://mesh.local/x?y",
    "spiffe://mesh.local/x#y",
    "spiffe://mesh.local/x y",
    "spiffe://mesh.local/x\u0000",
    "spiffe://mesh.local/x\n",
    "spiffe://mesh.local/é",
  ])("%p", (text) => {
    expect(parseSpiffeId(text).ok).toBe(false);
  });
});

describe("no workload of a mesh", () => {
  test.each([
    "spiffe://mesh.local",
    "spiffe://mesh.local/ns/shop",
    "spiffe://mesh.local/ns/shop/sa",
    "spiffe://mesh.local/ns/shop/sa/orders/more",
    "spiffe://mesh.local/sa/orders/ns/shop",
    "spiffe://mesh.local/NS/shop/SA/orders",
    "spiffe://mesh.local/ns/Shop/sa/orders",
    "spiffe://mesh.local/ns/shop/sa/-orders",
    "spiffe://mesh.local/ns/_mesh/sa/orders",
    `spiffe://mesh.local/ns/shop/sa/${"a".repeat(64)}`,
  ])("%p", (text) => {
    expect(parseIdentity(text).ok).toBe(false);
  });
});

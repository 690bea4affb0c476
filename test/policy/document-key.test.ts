import { expect, test } from "bun:test";
import { documentKey, documentNamespace, parseDocumentKey } from "../../src/policy/document-key.ts";
import { policyDocument } from "../../src/policy/schema.ts";

const mesh = policyDocument.parse({
  apiVersion: "heddle/v1",
  kind: "Mesh",
  metadata: { name: "default" },
  spec: { trustDomain: "mesh.local" },
});
const route = policyDocument.parse({
  apiVersion: "heddle/v1",
  kind: "Route",
  metadata: { namespace: "shop", name: "catalog" },
  spec: { service: "catalog", rules: [{}] },
});

test("a key is kind, namespace and name; the Mesh lives in _mesh", () => {
  expect([mesh, route].map(documentKey)).toEqual(["Mesh/_mesh/default", "Route/shop/catalog"]);
  expect([mesh, route].map(documentNamespace)).toEqual(["_mesh", "shop"]);
});

test("a key is read back", () => {
  expect(parseDocumentKey("Mesh/_mesh/default")).toEqual({ kind: "Mesh", namespace: "_mesh", name: "default" });
  expect(parseDocumentKey("Route/shop/catalog")).toEqual({ kind: "Route", namespace: "shop", name: "catalog" });
});

test.each([
  "",
  "Route",
  "Route/shop",
  "Route/shop/catalog/x",
  "route/shop/catalog",
  "Route/_mesh/x",
  "Mesh/shop/default",
  "Route/Shop/x",
  "Route/shop/",
])("%p is no key", (text) => {
  expect(parseDocumentKey(text)).toBeUndefined();
});

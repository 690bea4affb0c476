/** Modes of mutual TLS: which holds, and which changes are warned of. */

import { expect, test } from "bun:test";
import { applied, decided, document, given } from "./scenario.ts";

const PORTS = [{ port: 8080, protocol: "http" }];
const catalog = (fields: object = {}) => document("Service", "shop/catalog", { ports: PORTS, ...fields });
const web = document("Service", "shop/web", { ports: PORTS });
const meshIn = (mtls: string, fields: object = {}) =>
  document("Mesh", "default", { trustDomain: "mesh.local", mtls, ...fields });

function begun(mtls: string, ...documents: ReturnType<typeof document>[]) {
  return applied(applied(given(), "_mesh", meshIn(mtls)), "shop", ...documents);
}

function warnings(state: ReturnType<typeof given>, namespace: string, ...documents: ReturnType<typeof document>[]) {
  return decided(state, namespace, { kind: "apply", documents }).decision.warnings.filter((text) =>
    text.includes("between strict and disabled in one step"),
  );
}

test("from strict to disabled and back in one step is warned of, naming whose it is", () => {
  const strict = begun("strict", catalog(), web);
  const [found, ...more] = warnings(strict, "_mesh", meshIn("disabled"));
  expect(more).toEqual([]);
  expect(found).toStartWith("mutual TLS of shop/catalog, shop/web goes between strict and disabled");
  expect(warnings(applied(strict, "_mesh", meshIn("disabled")), "_mesh", meshIn("strict"))).toHaveLength(1);
});

test("by way of permissive it is not", () => {
  let state = begun("strict", catalog(), web);
  for (const mode of ["permissive", "disabled", "permissive", "strict"]) {
    expect(warnings(state, "_mesh", meshIn(mode))).toEqual([]);
    state = applied(state, "_mesh", meshIn(mode));
  }
});

test("the closest word counts: of a port, a service, a namespace", () => {
  const state = begun("strict", catalog({ mtls: "permissive" }), web);
  // Only web is left to what the mesh says.
  expect(warnings(state, "_mesh", meshIn("disabled"))[0]).toStartWith("mutual TLS of shop/web goes");
  expect(warnings(state, "_mesh", meshIn("strict", { namespaces: { shop: { mtls: "disabled" } } }))[0]).toStartWith(
    "mutual TLS of shop/web goes",
  );
  expect(warnings(state, "shop", catalog({ mtls: "disabled" }))).toEqual([]);
  expect(warnings(state, "shop", document("Service", "shop/web", { ports: PORTS, mtls: "disabled" }))).toHaveLength(1);
  const port = { ports: [{ ...PORTS[0], mtls: "disabled" }] };
  expect(warnings(state, "shop", document("Service", "shop/web", port))).toHaveLength(1);
});

test("a service that is new, or of which nothing about it changes, is not warned of", () => {
  const state = begun("disabled", catalog(), web);
  const orders = document("Service", "shop/orders", { ports: PORTS, mtls: "strict" });
  expect(warnings(state, "shop", orders)).toEqual([]);
  expect(warnings(state, "shop", catalog({ mtls: "disabled" }))).toEqual([]);
});

import { describe, expect, test } from "bun:test";
import type { SnapshotAccessRule } from "../../../src/projections/snapshot.ts";
import { compileAccess } from "../../../src/proxy/filters/access.ts";
import type { AccessPeer, AccessRequest } from "../../../src/proxy/filters/access-input.ts";
import { accessRequest, inbound, peer } from "../fixture.ts";
import { rule, web } from "./access-rules.ts";

describe("compileAccess: on what conditions", () => {
  const any = { from: ["*"] };
  const grpc = { authority: "web", headers: ["content-type", "application/grpc"] };
  type Ask = readonly [Partial<AccessPeer>, string, string, Partial<AccessRequest>];

  /** A condition, what it holds of and what not: as an allow rule, and as a deny rule under a default that allows. */
  test.each<[string, Partial<SnapshotAccessRule>, Ask[], Ask[]]>([
    [
      "addresses",
      { ipBlocks: ["10.0.0.0/8", "2001:db8::/32"] },
      [
        [{ ip: "10.9.9.9" }, "GET", "/", {}],
        [{ ip: "2001:db8::1" }, "GET", "/", {}],
        [{ ip: "::ffff:10.1.1.1" }, "GET", "/", {}],
      ],
      [
        [{ ip: "11.0.0.1" }, "GET", "/", {}],
        [{ ip: "2001:db9::1" }, "GET", "/", {}],
      ],
    ],
    [
      "other addresses",
      { notIpBlocks: ["10.0.0.0/8"] },
      [[{ ip: "11.0.0.1" }, "GET", "/", {}]],
      [[{ ip: "10.0.0.1" }, "GET", "/", {}]],
    ],
    [
      "server names",
      { sni: ["pay.example", "*.shop"] },
      [
        [{ serverName: "PAY.example" }, "GET", "/", {}],
        [{ serverName: "a.b.shop" }, "GET", "/", {}],
      ],
      [
        [{}, "GET", "/", {}],
        [{ serverName: "shop" }, "GET", "/", {}],
      ],
    ],
    [
      "other server names",
      { notSni: ["pay.example"] },
      [
        [{}, "GET", "/", {}],
        [{ serverName: "x" }, "GET", "/", {}],
      ],
      [[{ serverName: "pay.example" }, "GET", "/", {}]],
    ],
    ["ports", { ports: [8080, 9090] }, [[{}, "GET", "/", { port: 9090 }]], [[{}, "GET", "/", { port: 9091 }]]],
    ["other ports", { notPorts: [9090] }, [[{}, "GET", "/", { port: 8080 }]], [[{}, "GET", "/", { port: 9090 }]]],
    ["other methods", { notMethods: ["DELETE"] }, [[{}, "GET", "/", {}]], [[{}, "DELETE", "/", {}]]],
    ["other paths", { notPaths: ["/admin*"] }, [[{}, "GET", "/", {}]], [[{}, "GET", "/admin/x", {}]]],
    [
      "a template",
      { paths: ["/users/{id}/orders"] },
      [[{}, "GET", "/users/7/orders", {}]],
      [
        [{}, "GET", "/users//orders", {}],
        [{}, "GET", "/users/7/8/orders", {}],
        [{}, "GET", "/users/7/orders/1", {}],
      ],
    ],
    [
      "a header",
      { headers: { "x-env": { exact: "prod" } } },
      [[{}, "GET", "/", { headers: ["x-env", "prod"] }]],
      [
        [{}, "GET", "/", {}],
        [{}, "GET", "/", { headers: ["x-env", "test"] }],
      ],
    ],
    [
      "parts of a header",
      { headers: { "x-env": { suffix: "od" }, "x-a": { contains: "b" }, "x-b": { present: true } } },
      [[{}, "GET", "/", { headers: ["x-env", "prod", "x-a", "abc", "x-b", ""] }]],
      [[{}, "GET", "/", { headers: ["x-env", "prod", "x-a", "abc"] }]],
    ],
    [
      "no such header",
      { notHeaders: { "x-debug": { present: true }, "x-env": { prefix: "te" } } },
      [[{}, "GET", "/", { headers: ["x-env", "prod"] }]],
      [
        [{}, "GET", "/", { headers: ["x-debug", "1"] }],
        [{}, "GET", "/", { headers: ["x-env", "test"] }],
      ],
    ],
    [
      "the host",
      { headers: { host: { exact: "web" } } },
      [[{}, "GET", "/", {}]],
      [[{}, "GET", "/", { authority: "other" }]],
    ],
    [
      "a gRPC service",
      { grpc: [{ service: "shop.Pay" }] },
      [[{}, "POST", "/shop.Pay/Charge", grpc]],
      [[{}, "POST", "/shop.Payment/Charge", grpc]],
    ],
    [
      "a gRPC method",
      { grpc: [{ service: "shop.Pay", methods: ["Charge"] }] },
      [[{}, "POST", "/shop.Pay/Charge", grpc]],
      [[{}, "POST", "/shop.Pay/Void", grpc]],
    ],
    [
      "a gRPC package",
      { grpc: [{ service: "shop.*", methods: ["Get"] }] },
      [[{}, "POST", "/shop.v1.Pay/Get", grpc]],
      [[{}, "POST", "/shopping.Pay/Get", grpc]],
    ],
    [
      "other gRPC methods",
      { notGrpc: [{ service: "shop.Pay" }] },
      [[{}, "POST", "/a.B/C", grpc]],
      [[{}, "POST", "/shop.Pay/C", grpc]],
    ],
    [
      "a claim",
      { when: [{ claim: "sub", values: ["ann", "svc-*"] }] },
      [
        [{}, "GET", "/", { claims: { sub: "ann" } }],
        [{}, "GET", "/", { claims: { sub: "svc-7" } }],
      ],
      [
        [{}, "GET", "/", {}],
        [{}, "GET", "/", { claims: { sub: "bob" } }],
      ],
    ],
    [
      "one of a list",
      { when: [{ claim: "groups", values: ["admin"] }] },
      [[{}, "GET", "/", { claims: { groups: ["dev", "admin"] } }]],
      [[{}, "GET", "/", { claims: { groups: "administrator" } }]],
    ],
    [
      "a scope",
      { when: [{ claim: "scope", values: ["write"] }] },
      [[{}, "GET", "/", { claims: { scope: "read write" } }]],
      [[{}, "GET", "/", { claims: { scope: "rewrite" } }]],
    ],
    [
      "within a claim",
      {
        when: [
          { claim: ["realm", "roles"], values: ["x"] },
          { claim: "age", values: ["7"] },
        ],
      },
      [[{}, "GET", "/", { claims: { realm: { roles: ["x"] }, age: 7 } }]],
      [[{}, "GET", "/", { claims: { "realm.roles": ["x"], age: 7 } }]],
    ],
    [
      "any token",
      { when: [{ claim: "sub", values: ["*"] }] },
      [[{}, "GET", "/", { claims: { sub: "ann" } }]],
      [
        [{}, "GET", "/", {}],
        [{}, "GET", "/", { claims: { iss: "x" } }],
      ],
    ],
    [
      "not that claim",
      { when: [{ claim: "groups", notValues: ["guest"] }] },
      [
        [{}, "GET", "/", {}],
        [{}, "GET", "/", { claims: { groups: ["dev"] } }],
      ],
      [[{}, "GET", "/", { claims: { groups: ["dev", "guest"] } }]],
    ],
  ])("%s", (_, conditions, holds, fails) => {
    const allow = compileAccess(inbound([rule("allow", { ...any, ...conditions })], "deny"));
    const deny = compileAccess(inbound([rule("deny", conditions)], "allow"));
    const audit = compileAccess(inbound([rule("audit", conditions)], "allow"));
    const expectAll = (asks: readonly Ask[], matching: boolean): void => {
      for (const [from, method, target, request] of asks) {
        const ask = [peer(web, from), accessRequest(method, target, request)] as const;
        expect([allow(...ask).allowed, deny(...ask).allowed, audit(...ask).audit.length]).toEqual(
          matching ? [true, false, 1] : [false, true, 0],
        );
      }
    };
    expectAll(holds, true);
    expectAll(fails, false);
  });

  /** What a lenient application could take for what a rule speaks of: never allowed by it, always denied by it. */
  test.each<[string, Partial<SnapshotAccessRule>, string, string, Partial<AccessRequest>]>([
    ["an escaped slash", { paths: ["/users/{id}/secret"] }, "GET", "/users/7%2Fsecret", {}],
    ["path parameters", { paths: ["/admin"] }, "GET", "/admin;v=1", {}],
    [
      "a repeated header",
      { headers: { "x-env": { exact: "prod" } } },
      "GET",
      "/",
      { headers: ["x-env", "a", "x-env", "prod"] },
    ],
    [
      "an underscore for a dash",
      { headers: { "x-env": { exact: "prod" } } },
      "GET",
      "/",
      { headers: ["x_env", "prod"] },
    ],
    ["gRPC without POST", { grpc: [{ service: "shop.Pay" }] }, "GET", "/shop.Pay/Charge", {}],
    ["a TCP connection", { methods: ["GET"] }, "CONNECT", "", { isTcp: true }],
    ["a TCP connection, of which no path is known", { notPaths: ["/x"] }, "CONNECT", "", { isTcp: true }],
  ])("reads %s the way that opens less", (_, conditions, method, target, request) => {
    const ask = [peer(web), accessRequest(method, target, request)] as const;
    expect(compileAccess(inbound([rule("allow", { ...any, ...conditions })], "deny"))(...ask).allowed).toBe(false);
    expect(compileAccess(inbound([rule("deny", conditions)], "allow"))(...ask).allowed).toBe(false);
  });

  test("reads what a rule leaves out the way that opens less", () => {
    const ask = [peer(web), accessRequest("GET", "/admin;v=1")] as const;
    expect(compileAccess(inbound([rule("allow", { notPaths: ["/admin"] })], "deny"))(...ask).allowed).toBe(false);
    expect(compileAccess(inbound([rule("deny", { notPaths: ["/admin"] })], "allow"))(...ask).allowed).toBe(false);
  });
});

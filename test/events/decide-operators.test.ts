import { describe, expect, test } from "bun:test";
import type { CommandBody } from "../../src/events/commands.ts";
import { foldChange } from "../../src/events/evolve.ts";
import type { MeshState } from "../../src/events/state.ts";
import { createUserKey } from "../../src/nats/keys.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { changeAfter, decided, given, refused, service } from "./scenario.ts";

const KEYS = Array.from({ length: 5 }, () => createUserKey().publicKey);
const [ada = "", alice = "", orders = "", other = "", web = ""] = KEYS;

const adding = (name: string, publicKey: string, role: "admin" | "editor" | "viewer", ...namespaces: string[]) =>
  ({ kind: "operator-add", name, publicKey, role, namespaces }) satisfies CommandBody;
const revoking = (name: string): CommandBody => ({ kind: "operator-revoke", name });
const token = (name: string, publicKey: string, terms = {}): CommandBody => ({
  kind: "token-create",
  service: { namespace: "shop", name },
  publicKey,
  ...terms,
});
const voiding = (publicKey: string): CommandBody => ({ kind: "token-revoke", publicKey });

/** The mesh of ada, an admin, and of whoever comes after her. */
function mesh(...bodies: readonly CommandBody[]): MeshState {
  const namespaceOf = ({ kind }: CommandBody): string => (kind.startsWith("operator") ? "_mesh" : "shop");
  return [adding("ada", ada, "admin"), ...bodies].reduce(
    (state, body) => decided(state, namespaceOf(body), body).next,
    given(service("shop/orders")),
  );
}

describe("operators", () => {
  test("are added with their role and namespaces, each namespace once", () => {
    const body = adding("alice", alice, "editor", "shop", "bank", "shop");
    const { decision, next } = decided(mesh(), "_mesh", body);
    const added = { name: "alice", publicKey: alice, role: "editor" as const, namespaces: ["bank", "shop"] };
    expect(decision.events).toEqual([{ type: "OperatorAdded", ...added }]);
    expect(next.operators.get(alice)).toEqual(added);
  });

  test("that are revoked are operators no more, and their keys are known for that", () => {
    const { decision, next } = decided(mesh(adding("alice", alice, "admin")), "_mesh", revoking("alice"));
    expect(decision.events).toEqual([{ type: "OperatorRevoked", name: "alice", publicKey: alice }]);
    expect([...next.operators.keys()]).toEqual([ada]);
    expect(next.revokedKeys.get(alice)).toMatchObject({ name: "alice", origin: { revision: next.revision } });
  });

  const two = mesh(adding("alice", alice, "editor", "shop"), token("orders", orders));
  const cases: [string, MeshState, string, CommandBody, string][] = [
    ["a name twice", two, "_mesh", adding("alice", other, "viewer"), "there is an operator alice already"],
    ["a key twice", two, "_mesh", adding("bob", alice, "viewer"), "this key is in use already"],
    ["a token's key", two, "_mesh", adding("bob", orders, "viewer"), "this key is in use already"],
    ["an editor of nothing", two, "_mesh", adding("bob", other, "editor"), "needs at least one namespace"],
    ["an admin of a part", two, "_mesh", adding("bob", other, "admin", "shop"), "may change every namespace"],
    ["a viewer of a part", two, "_mesh", adding("bob", other, "viewer", "shop"), "may change none"],
    ["the control plane's name", two, "_mesh", adding("Heddle", other, "viewer"), "calls the control plane itself"],
    ["within a namespace", two, "shop", adding("bob", other, "viewer"), "this command is for shop"],
    ["revoking within one", two, "shop", revoking("alice"), "this command is for shop"],
    ["revoking nobody", two, "_mesh", revoking("alise"), "there is no operator alise; did you mean alice?"],
    ["revoking the last admin", two, "_mesh", revoking("ada"), "is the last admin"],
  ];
  for (const [name, state, namespace, body, expected] of cases) {
    test(`refused: ${name}`, () => expect(refused(state, namespace, body)).toContain(expected));
  }

  test("who comes back gets another key", () => {
    const gone = decided(two, "_mesh", revoking("alice")).next;
    expect(refused(gone, "_mesh", adding("alice", alice, "viewer"))).toContain("this key was revoked");
    expect(decided(gone, "_mesh", adding("alice", other, "viewer")).next.operators.get(other)?.name).toBe("alice");
  });
});

describe("join tokens", () => {
  const terms = { expiresAt: "2026-12-01T00:00:00Z", usesMax: 2 };

  test("are created with their terms", () => {
    const { decision, next } = decided(mesh(), "shop", token("orders", orders, terms));
    const created = { namespace: "shop", service: "orders", publicKey: orders, ...terms };
    expect(decision).toEqual({ events: [{ type: "TokenCreated", ...created }], warnings: [] });
    expect(next.tokens.get(orders)).toMatchObject({ ...created, instances: [] });
  });

  test("for a service that is not declared come with a warning", () => {
    const { decision } = decided(mesh(), "shop", token("ordres", orders));
    expect(decision.warnings).toEqual(["shop/ordres is not declared yet; did you mean shop/orders?"]);
  });

  test("that are revoked are none any more, and keep their end", () => {
    const { decision, next } = decided(mesh(token("orders", orders, terms)), "shop", voiding(orders));
    expect(decision.events).toEqual([
      { type: "TokenRevoked", namespace: "shop", service: "orders", publicKey: orders },
    ]);
    expect(next.tokens.size).toBe(0);
    expect(next.revokedKeys.get(orders)).toMatchObject({ name: "shop/orders", expiresAt: terms.expiresAt });
  });

  test("that have ended are forgotten with the next one, a day later and not before", () => {
    const ended = { expiresAt: "2026-03-01T00:00:00Z" };
    const state = mesh(
      token("orders", orders, ended),
      token("orders", alice, ended),
      token("web", web, { usesMax: 1 }),
    );
    const revoked = decided(state, "shop", voiding(alice)).next;
    const made = { type: "TokenCreated", namespace: "shop", service: "web", publicKey: other } as const;
    const after = (time: string) => foldChange(revoked, changeAfter(revoked, "shop", [made], { time }));
    const early = after("2026-03-01T23:59:00Z");
    expect([[...early.tokens.keys()], [...early.revokedKeys.keys()]]).toEqual([[orders, web, other], [alice]]);
    const late = after("2026-03-02T00:01:00Z");
    expect([[...late.tokens.keys()], [...late.revokedKeys.keys()]]).toEqual([[web, other], []]);
  });

  test("refused: another namespace's, a key in use, a revoked key, an unknown token, and from elsewhere", () => {
    const state = mesh(token("orders", orders));
    expect(refused(state, "bank", token("orders", other))).toContain("belongs to another namespace");
    expect(refused(state, "shop", token("orders", orders))).toContain("this key is in use already");
    expect(refused(state, "shop", token("orders", ada))).toContain("this key is in use already");
    expect(refused(state, "shop", voiding(other))).toContain("has no token of that key");
    expect(refused(state, "bank", voiding(orders))).toContain("has no token of that key");
    const gone = decided(state, "shop", voiding(orders)).next;
    expect(refused(gone, "shop", token("orders", orders))).toContain("this key was revoked");
  });
});

test("a checkpoint holds operators, tokens and revoked keys", () => {
  const state = mesh(token("orders", orders, { usesMax: 1 }), token("web", other), adding("al", alice, "admin"));
  const revoked = decided(state, "_mesh", revoking("al")).next;
  const json: unknown = JSON.parse(JSON.stringify(meshStateCodec.toJson(revoked)));
  expect(meshStateCodec.fromJson(json)).toEqual(revoked);
});

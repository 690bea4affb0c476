import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HostTable, hostNames, parseAuthority } from "../../../src/proxy/route/host.ts";

describe("parseAuthority", () => {
  test.each([
    ["catalog", "catalog", undefined],
    ["Catalog.SHOP", "catalog.shop", undefined],
    ["catalog.shop.", "catalog.shop", undefined],
    ["catalog:8080", "catalog", 8080],
    ["catalog.shop.mesh.local.:80", "catalog.shop.mesh.local", 80],
    ["a.b.my_domain", "a.b.my_domain", undefined],
    ["127.0.0.1:80", "127.0.0.1", 80],
  ])("%s", (text, host, port) => {
    expect(parseAuthority(text)).toEqual({ host, port });
  });

  test.each([
    "",
    ".",
    ":80",
    ".catalog",
    "catalog..",
    "catalog..shop",
    "-catalog",
    "catalog:",
    "catalog:0",
    "catalog:65536",
    "catalog:80:80",
    "catalog:8a",
    "user@catalog",
    "catalog/",
    "catalog shop",
    "catalog\n",
    "catalog,web",
    "cat%61log",
    "caf\u00e9",
    "[::1]:80",
    "a".repeat(300),
  ])("%j is refused", (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  });
});

describe("HostTable", () => {
  const catalog = { name: "catalog" };
  const ledger = { name: "ledger" };
  const table = new HostTable<{ name: string }>();
  table.add(hostNames("shop", "catalog", "shop", "mesh.local"), catalog);
  table.add(hostNames("bank", "ledger", "shop", "mesh.local"), ledger);

  test.each([
    ["catalog", catalog],
    ["catalog.shop", catalog],
    ["catalog.shop.mesh.local", catalog],
    ["CATALOG.shop.:8080", catalog],
    ["ledger.bank", ledger],
    ["ledger.bank.mesh.local:1", ledger],
    ["ledger", undefined],
    ["catalog.bank", undefined],
    ["catalog.shop.mesh", undefined],
    ["constructor", undefined],
    ["__proto__", undefined],
  ])("%s", (authority, service) => {
    expect(table.lookup(authority)).toBe(service);
    expect(table.lookup(authority)).toBe(service);
  });

  test("finds a service under every spelling of its names, also past the bound on remembered ones", () => {
    for (let port = 1; port <= 3000; port++) expect(table.lookup(`catalog:${port}`)).toBe(catalog);
    const spelling = fc
      .tuple(
        fc.constantFrom("ledger.bank", "ledger.bank.mesh.local"),
        fc.boolean(),
        fc.boolean(),
        fc.integer({ min: 0, max: 65_535 }),
      )
      .map(
        ([name, upper, dot, port]) =>
          `${upper ? name.toUpperCase() : name}${dot ? "." : ""}${port > 0 ? `:${port}` : ""}`,
      );
    fc.assert(fc.property(spelling, (authority) => expect(table.lookup(authority)).toBe(ledger)));
  });

  test("the first to claim a name keeps it", () => {
    const names = new HostTable<object>();
    const first = {};
    names.add(["x"], first);
    names.add(["x", "y"], {});
    expect(names.lookup("x")).toBe(first);
  });
});

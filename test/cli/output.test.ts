/** What tables and colours look like. */

import { expect, test } from "bun:test";
import { painter, table } from "../../src/cli/output/output.ts";

test("columns are aligned, the last one is not padded, and heads are in capitals", () => {
  const rows = [
    ["1", "ada", "declared shop/orders"],
    ["1024", "grace", ""],
  ];
  expect(table(["revision", "by", "change"], rows)).toBe(
    "REVISION   BY      CHANGE\n1          ada     declared shop/orders\n1024       grace\n",
  );
  expect(table(["name"], [])).toBe("NAME\n");
});

test("colours and wide characters take the room that they take on a terminal", () => {
  const paint = painter({ isTTY: true }, {});
  expect(table(["a", "b"], [[paint("red", "x"), "y"]])).toBe(`A   B\n${paint("red", "x")}   y\n`);
  expect(table(["a", "b"], [["織機", "y"]])).toBe("A      B\n織機   y\n");
});

test("colour is for terminals that want it", () => {
  const terminal = { isTTY: true };
  expect(painter(terminal, {})("green", "up")).toBe("\u001b[32mup\u001b[0m");
  expect(painter(terminal, { NO_COLOR: "" })("green", "up")).toBe("\u001b[32mup\u001b[0m");
  expect(painter(terminal, { NO_COLOR: "1" })("green", "up")).toBe("up");
  expect(painter(terminal, { TERM: "dumb" })("green", "up")).toBe("up");
  expect(painter({}, {})("green", "up")).toBe("up");
  expect(painter(terminal, {})("green", "")).toBe("");
});

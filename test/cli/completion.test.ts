/** What bash offers, asked of a real bash. */

import { beforeAll, expect, test } from "bun:test";
import { CommandLine } from "./cli-mesh.ts";

let script: string;
beforeAll(async () => {
  const { code, stdout } = await new CommandLine("/nowhere").heddle(["completion", "bash"]);
  expect(code).toBe(0);
  script = stdout;
}, 60_000);

/** What is offered for the last of the words. */
function offered(...words: string[]): string[] {
  const line = `COMP_WORDS=(heddle "$@"); COMP_CWORD=$#; _heddle; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = Bun.spawnSync(["bash", "-c", `${script}${line}`, "bash", ...words]);
  expect(stderr.toString()).toBe("");
  return stdout.toString().split("\n").filter(Boolean);
}

test.each<[words: string[], offers: string[]]>([
  [["roll"], ["rollback"]],
  [["sidecar"], ["sidecar"]],
  [["fault", "in"], ["inject"]],
  [["fault", "inject", "--ab"], ["--abort"]],
  [["fault", "inject", "shop/catalog", "--band"], ["--bandwidth"]],
  [["-"], ["--help", "--version"]],
  [["help", "blam"], ["blame"]],
  [["wait", "--ti"], ["--timeout"]],
  [["wait", "nothing-begins-so"], []],
])("%p is completed to %p", (words, offers) => {
  expect(offered(...words)).toEqual(offers);
});

test("every command is offered, and none that is hidden", () => {
  expect(offered("")).toContain("apply");
  expect(offered("")).not.toContain("sidecar-worker");
});

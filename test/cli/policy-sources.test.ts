import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPolicySources } from "../../src/cli/input/policy-sources.ts";
import { FILE_BYTES_MAX } from "../../src/policy/parse.ts";
import { formatProblem } from "../../src/policy/problems.ts";

let root = "";

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "heddle-sources-"));
  await mkdir(join(root, "tree/b/deep"), { recursive: true });
  await mkdir(join(root, "tree/.hidden"));
  await mkdir(join(root, "empty/inner"), { recursive: true });
  await writeFile(join(root, "tree/c.yaml"), "c");
  await writeFile(join(root, "tree/a.json"), "a");
  await writeFile(join(root, "tree/notes.txt"), "notes");
  await writeFile(join(root, "tree/.secret.yaml"), "secret");
  await writeFile(join(root, "tree/.hidden/x.yaml"), "x");
  await writeFile(join(root, "tree/b/b.yml"), "\u00fc");
  await writeFile(join(root, "tree/b/deep/d.YAML"), "d");
  await symlink("..", join(root, "tree/b/loop"));
  await symlink("nowhere", join(root, "tree/dangling"));
  await link(join(root, "tree/c.yaml"), join(root, "tree/same.yaml"));
  await symlink("../empty", join(root, "empty/inner/loop"));
  await symlink("circle.yaml", join(root, "circle.yaml"));
  await writeFile(join(root, "latin1.yaml"), Buffer.from([0x61, 0x0a, 0x62, 0xe4, 0x63]));
  await writeFile(join(root, "large.yaml"), Buffer.alloc(FILE_BYTES_MAX + 1, "#"));
  await writeFile(join(root, "full.yaml"), Buffer.alloc(FILE_BYTES_MAX, "#"));
});

afterAll(async () => {
  await chmod(root, 0o700);
  await rm(root, { recursive: true, force: true });
});

async function* bytes(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, "latin1");
}

/** `name=text` per source, or the problems, with the temporary folder left out. */
async function read(args: string[], stdin: AsyncIterable<Uint8Array> = bytes()): Promise<string[]> {
  const result = await readPolicySources(
    args.map((argument) => (argument === "-" ? argument : join(root, argument))),
    stdin,
  );
  const lines = result.ok ? result.value.map(({ file, text }) => `${file}=${text}`) : result.error.map(formatProblem);
  return lines.map((line) => line.replaceAll(`${root}/`, ""));
}

describe("reads", () => {
  test("folders recursively in the order of names, without hidden entries, loops and other files", async () => {
    expect(await read(["tree"])).toEqual(["tree/a.json=a", "tree/b/b.yml=ü", "tree/b/deep/d.YAML=d", "tree/c.yaml=c"]);
  });

  test("every file once, in the order of the arguments", async () => {
    expect(await read(["tree/same.yaml", "tree/b/deep", "tree", "tree/a.json", "tree/b"])).toEqual([
      "tree/same.yaml=c",
      "tree/b/deep/d.YAML=d",
      "tree/a.json=a",
      "tree/b/b.yml=ü",
    ]);
  });

  test("a file of any name when it is named", async () => {
    expect(await read(["tree/notes.txt", "tree/.secret.yaml"])).toEqual([
      "tree/notes.txt=notes",
      "tree/.secret.yaml=secret",
    ]);
  });

  test("standard input once, across chunks that split a character", async () => {
    expect(await read(["-", "tree/a.json", "-"], bytes("x\u00c3", "\u00bc"))).toEqual([
      "(standard input)=xü",
      "tree/a.json=a",
    ]);
  });

  test("a file of exactly the largest size", async () => {
    const result = await readPolicySources([join(root, "full.yaml")], bytes());
    expect(result.ok && result.value[0]?.text.length).toBe(FILE_BYTES_MAX);
  });

  test("a byte order mark as nothing", async () => {
    expect(await read(["-"], bytes("\u00ef\u00bb\u00bfa"))).toEqual(["(standard input)=a"]);
  });
});

describe("reports", () => {
  test("everything that cannot be read, at once", async () => {
    expect(await read(["missing.yaml", "tree/a.json", "empty", "circle.yaml", "latin1.yaml", "large.yaml"])).toEqual([
      "missing.yaml: does not exist",
      "empty: holds no *.yaml, *.yml or *.json file",
      "circle.yaml: cannot be read: its symbolic links lead in a circle",
      "latin1.yaml:2:2 the file is not valid UTF-8 here; save it as UTF-8",
      `large.yaml: is larger than ${FILE_BYTES_MAX} bytes; split it into several files`,
    ]);
  });

  test("standard input that is no UTF-8", async () => {
    expect(await read(["-"], bytes("ab", "\u00ff"))).toEqual([
      "(standard input):1:3 the file is not valid UTF-8 here; save it as UTF-8",
    ]);
  });

  test("standard input that breaks", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("a");
      throw new Error("read: connection reset");
    }
    expect(await read(["-"], broken())).toEqual(["(standard input): cannot be read: read: connection reset"]);
  });
});

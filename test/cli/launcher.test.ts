/** `bin/heddle`, the way into the program from a checkout. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Outcome } from "./cli-mesh.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle launcher "));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function run(program: string, env: Record<string, string> = {}): Promise<Outcome> {
  const child = Bun.spawn(["/bin/sh", program, "version"], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** A checkout whose dependencies are there, as far as the launcher looks: its Bun is a script that tells what it got. */
async function checkout(bun: string): Promise<string> {
  const root = join(folder, "a checkout");
  await cp(join(ROOT, "bin"), join(root, "bin"), { recursive: true });
  await writeFile(join(root, "package-lock.json"), "{}");
  const program = join(root, bun);
  await mkdir(join(program, ".."), { recursive: true });
  await writeFile(program, '#!/bin/sh\necho "$0" "$@"\n', { mode: 0o755 });
  await Bun.write(join(root, "node_modules", ".package-lock.json"), "{}");
  return root;
}

test("becomes Bun on the program, through links of either kind and names with spaces", async () => {
  const root = await checkout("node_modules/.bin/bun");
  await symlink(join(root, "bin", "heddle"), join(folder, "absolute"));
  await symlink("absolute", join(folder, "relative"));
  for (const program of ["a checkout/bin/heddle", "absolute", "relative"]) {
    const { code, stdout, stderr } = await run(program);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(
      /a checkout\/bin\/\.\.\/node_modules\/\.bin\/bun \S*.*a checkout\/bin\/\.\.\/src\/cli\/main\.ts version\n$/,
    );
  }
});

test("takes Bun out of its platform's package where no install script has run", async () => {
  const root = await checkout("node_modules/@oven/bun-linux-x64/bin/bun");
  await mkdir(join(root, "node_modules", ".bin"));
  await writeFile(join(root, "node_modules", ".bin", "bun"), "#!/bin/sh\necho placeholder\nexit 1\n", { mode: 0o755 });
  const { code, stdout } = await run(join(root, "bin", "heddle"));
  expect(code).toBe(0);
  expect(stdout).toContain("/@oven/bun-linux-x64/bin/bun ");
});

test("finds Bun beside itself as a package among those of another project", async () => {
  for (const bun of ["../.bin/bun", "../@oven/bun-linux-x64/bin/bun"]) {
    const root = await checkout(bun);
    await rm(join(root, "package-lock.json"));
    const { code, stdout } = await run(join(root, "bin", "heddle"), { PATH: folder });
    expect(code).toBe(0);
    expect(stdout).toContain(`/${bun} `);
  }
});

test("becomes a package without what lies about in the checkout, such as credentials", async () => {
  for (const file of ["bin/heddle", "src/cli/main.ts", "orders.creds", ".heddle/ca/root.key", "export.jsonl"]) {
    await Bun.write(join(folder, file), "");
  }
  await cp(join(ROOT, "package.json"), join(folder, "package.json"));
  const child = Bun.spawn(["npm", "pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const paths = [...(await child.stdout.text()).matchAll(/"path": "([^"]+)"/g)].map(([, path]) => path);
  expect(paths.sort()).toEqual(["bin/heddle", "package.json", "src/cli/main.ts"]);
});

test("keeps nothing in the current directory where there is no home", async () => {
  const root = await checkout("node_modules/.bin/bun");
  const bun = join(root, "node_modules/.bin/bun");
  await writeFile(bun, "#!/bin/sh\nprintenv BUN_RUNTIME_TRANSPILER_CACHE_PATH || echo unset\n", { mode: 0o755 });
  expect((await run(join(root, "bin", "heddle"), { HOME: "" })).stdout).toBe("0\n");
  expect((await run(join(root, "bin", "heddle"), { HOME: folder })).stdout).toBe("unset\n");
});

test("says what to do where there is nothing to fetch the dependencies with", async () => {
  const root = join(folder, "bare");
  await cp(join(ROOT, "bin"), join(root, "bin"), { recursive: true });
  const { code, stdout, stderr } = await run(join(root, "bin", "heddle"), { PATH: folder });
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^heddle: npm was not found.*install Node\.js/);
});

test("fetches what is missing once, though two ask at once", async () => {
  const root = join(folder, "fresh");
  await cp(join(ROOT, "bin"), join(root, "bin"), { recursive: true });
  await writeFile(join(root, "package-lock.json"), "{}");
  // Stands in for the registry only: it leaves behind what npm does, and notes that it was called.
  const tools = join(folder, "tools");
  await mkdir(tools);
  const npm = `#!/bin/sh
echo "$@" >>"${folder}/calls"
sleep 0.3
mkdir -p node_modules/.bin
printf '#!/bin/sh\\necho started\\n' >node_modules/.bin/bun
chmod +x node_modules/.bin/bun
echo '{}' >node_modules/.package-lock.json
`;
  await writeFile(join(tools, "npm"), npm, { mode: 0o755 });
  const env = { PATH: `${tools}:${process.env.PATH}` };
  const program = join(root, "bin", "heddle");
  const outcomes = await Promise.all([run(program, env), run(program, env)]);
  expect(outcomes.map(({ code, stdout }) => [code, stdout])).toEqual([
    [0, "started\n"],
    [0, "started\n"],
  ]);
  const calls = async () => (await Bun.file(join(folder, "calls")).text()).trim().split("\n");
  expect(await calls()).toEqual(["ci --no-audit --no-fund --loglevel=error"]);

  // Other dependencies than those that are there: added, not fetched anew.
  const later = Date.now() / 1000 + 60;
  await utimes(join(root, "package-lock.json"), later, later);
  expect((await run(program, env)).stdout).toBe("started\n");
  expect((await calls()).at(-1)).toStartWith("install --no-save ");
});

test("refuses to work towards a standard output that is closed", async () => {
  const root = await checkout("node_modules/.bin/bun");
  const child = Bun.spawn(["/bin/sh", "-c", '"$0" apply >&-', join(root, "bin", "heddle")], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
  expect([code, stderr]).toEqual([
    1,
    "heddle: the standard output is closed: send it to /dev/null where nobody is to read it\n",
  ]);
});

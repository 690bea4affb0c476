/** compose.yaml and Dockerfile, as far as they can be held without containers: that what they name exists. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { parsePolicy } from "../src/policy/parse.ts";

const ROOT = join(import.meta.dir, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const compose = z
  .object({
    services: z.record(
      z.string(),
      z.object({
        build: z.object({ target: z.string() }),
        entrypoint: z.array(z.string()).optional(),
        command: z.array(z.string()),
        network_mode: z.string().optional(),
        volumes: z.array(z.string()).default([]),
        depends_on: z.record(z.string(), z.unknown()).default({}),
      }),
    ),
    volumes: z.record(z.string(), z.unknown()),
  })
  .parse(parse(read("compose.yaml"), { merge: true }));

const services = Object.entries(compose.services);
const sidecars = services.filter(([, { command }]) => command[0] === "sidecar");
const dockerfile = read("Dockerfile");

/** The help of a command of the program as it stands in this checkout. */
async function help(...command: readonly string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, join(ROOT, "src/cli/main.ts"), ...command, "--help"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  return child.stdout.text();
}

test("every image is a stage of the Dockerfile, which copies only what the build context lets in", () => {
  const stages = [...dockerfile.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, name]) => name);
  for (const [, { build }] of services) expect(stages).toContain(build.target);
  const context = read(".dockerignore").split("\n");
  for (const [, paths = ""] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const path of paths.split(" ")) {
      expect(existsSync(join(ROOT, path))).toBe(true);
      expect(context).toContain(`!${path.split("/")[0]}`);
    }
  }
});

test("services, volumes and files that are named exist", () => {
  for (const [, { depends_on, network_mode = "", volumes }] of services) {
    const others = [...Object.keys(depends_on), ...(/^service:(.+)$/.exec(network_mode)?.slice(1) ?? [])];
    for (const other of others) expect(Object.keys(compose.services)).toContain(other);
    for (const volume of volumes) {
      const [source = ""] = volume.split(":");
      if (source.startsWith(".")) expect(existsSync(join(ROOT, source))).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
  }
  for (const [, { command }] of services) {
    if (command[0] === "bun") expect(existsSync(join(ROOT, "examples/shop", command[1] ?? ""))).toBe(true);
  }
});

test("every option is one that the command has", async () => {
  const used = services.filter(([, { entrypoint }]) => entrypoint === undefined).map(([, { command }]) => command);
  const scripts = services.flatMap(([, { entrypoint, command }]) => (entrypoint?.[0] === "/bin/sh" ? command : []));
  const lines = scripts.flatMap((script) =>
    [...script.matchAll(/\bheddle (.+)$/gm)].map(([, line = ""]) => line.split(" ")),
  );
  const heddle = [...used.filter(([name]) => name !== "bun"), ...lines];
  expect(heddle.length).toBeGreaterThan(5);
  for (const [name = "", ...rest] of heddle) {
    const command = name === "token" ? [name, rest[0] ?? ""] : [name];
    const text = await help(...command);
    for (const option of rest.filter((argument) => /^--?[a-z]/.test(argument))) {
      expect({ command, option, known: text.includes(option) }).toEqual({ command, option, known: true });
    }
  }
});

test("every service of the shop's policy has a sidecar beside an application, and credentials made for it", () => {
  const file = "examples/shop/policy.yaml";
  const policy = parsePolicy([{ file, text: read(file) }]);
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  const declared = policy.value.flatMap(({ document }) =>
    document.kind === "Service" ? [`${document.metadata.namespace}/${document.metadata.name}`] : [],
  );
  const option = (command: readonly string[], name: string) => command[command.indexOf(name) + 1] ?? "";
  expect(new Set(sidecars.map(([, { command }]) => option(command, "--service")))).toEqual(new Set(declared));
  const script = compose.services.applied?.command.join("\n") ?? "";
  for (const [name, { command, network_mode }] of sidecars) {
    const service = option(command, "--service").split("/")[1] ?? "";
    expect(network_mode).toBe(`service:${name.replace("-sidecar", "")}`);
    expect(option(command, "--creds")).toBe(`/var/lib/heddle-creds/${service}.creds`);
    expect(script).toMatch(new RegExp(`for service in [a-z ]*\\b${service}\\b`));
  }
});

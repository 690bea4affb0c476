/** Who may know whom: the import directions of the project, as data. */

import type { Import, SourceFile } from "./source-tree.ts";

/** Policy that anybody may know: names, results, durations, callers, addresses, expressions, JSON. */
const LEAVES = [
  "src/policy/names.ts",
  "src/policy/result.ts",
  "src/policy/duration.ts",
  "src/policy/principal.ts",
  "src/policy/ip-block.ts",
  "src/policy/regex.ts",
  "src/policy/json.ts",
];
/** What the traffic ledger holds, without I/O. */
const TRAFFIC = [
  "src/telemetry/traffic-summary.ts",
  "src/telemetry/latency-sketch.ts",
  "src/telemetry/path-template.ts",
];
const SNAPSHOT = "src/projections/snapshot.ts";

/**
 * What each folder of src/ may import beside itself: a folder (ending in `/`) or one file. Whatever is not listed is
 * refused, so a new folder has to be entered here by somebody who knows why.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  policy: [],
  // The event log's JetStream form stands beside its port; it reaches NATS through src/nats/.
  events: ["src/policy/", "src/nats/"],
  // The transport knows names and roles, for what it lets through depends on them; never what happens with messages.
  nats: [...LEAVES, "src/events/domain-events.ts"],
  projections: ["src/policy/", "src/events/", "src/nats/"],
  ca: ["src/policy/", "src/events/", "src/projections/", "src/nats/"],
  // Asks the very code that enforces a rule whether it would have.
  replay: [
    "src/policy/",
    "src/events/",
    "src/projections/",
    "src/proxy/route/",
    "src/proxy/filters/",
    "src/proxy/mtls.ts",
    "src/proxy/service-port.ts",
    ...TRAFFIC,
  ],
  telemetry: [...LEAVES, SNAPSHOT],
  // Never events: the data plane learns what is in force from its snapshot and from nothing else.
  proxy: [
    ...LEAVES,
    SNAPSHOT,
    "src/projections/snapshot-reading.ts",
    "src/projections/snapshot-text.ts",
    "src/ca/workload/",
    "src/nats/bus.ts",
    "src/nats/subjects.ts",
    "src/nats/private-file.ts",
    "src/telemetry/",
  ],
  control: ["src/policy/", "src/events/", "src/projections/", "src/replay/", "src/ca/", "src/nats/", "src/telemetry/"],
  // The outermost folder: it puts everything together, and nothing else may know it.
  cli: ["src/", "package.json"],
};

/** The rooms of src/cli/, innermost first: each may know those before it, and all know the files of src/cli/ itself. */
const CLI_ROOMS = ["input", "output", "mesh", "processes", "commands"];

/** Where each package may be imported; one that is not listed has no place yet. */
const PACKAGE_PLACES: Readonly<Record<string, readonly string[]>> = {
  nats: ["src/nats/"],
  "@nats-io/jwt": ["src/nats/"],
  "@nats-io/nkeys": ["src/nats/"],
  // 17 MB resident: it must not reach a sidecar.
  "@peculiar/x509": ["src/ca/x509.ts"],
  "reflect-metadata": ["src/ca/x509.ts"],
  "bun:ffi": ["src/proxy/intercept/"],
  commander: ["src/cli/"],
  pino: ["src/telemetry/"],
  jose: ["src/proxy/jwt/"],
  "prom-client": ["src/telemetry/"],
  ulid: ["src/"],
  yaml: ["src/policy/", "src/cli/"],
  zod: ["src/"],
};

/** Folders without I/O, and the built-in modules that are no I/O. */
const PURE = ["src/policy/", "src/replay/", "src/proxy/codec/", "src/proxy/route/", "src/proxy/filters/"];
const PURE_BUILT_INS = ["node:crypto", "node:util", "node:buffer", "node:assert"];

/** Modules that do I/O, and files of the folders above that take something else from them. */
const PURE_USES: Readonly<Record<string, readonly string[]>> = {
  // Arithmetic on addresses.
  "node:net": ["src/policy/ip-block.ts"],
};

/** One sentence for every import of the file that its place does not allow. */
export function forbiddenImports(file: SourceFile): string[] {
  const complaints = file.imports.flatMap((entry) => {
    const complaint = entry.local ? localComplaint(file.path, entry) : outsideComplaint(file.path, entry);
    return complaint === undefined ? [] : [`${file.path}: ${complaint}`];
  });
  return [...new Set(complaints)];
}

function localComplaint(path: string, { target }: Import): string | undefined {
  const room = path.split("/")[1] ?? "";
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) return `src/${room}/ has no entry in test/tidy/import-rules.ts`;
  if (!isIn(target, [`src/${room}/`, ...allowed])) return `src/${room}/ may not import ${target}`;
  const [from, to] = [depthInCli(path), depthInCli(target)];
  return from >= 0 && to > from ? `it may not import ${target}, which is further out` : undefined;
}

/** How far out in src/cli/ a file is; -1: not in a room of it. */
function depthInCli(path: string): number {
  const [, folder, room = ""] = path.split("/");
  return folder === "cli" ? CLI_ROOMS.indexOf(room) : -1;
}

function outsideComplaint(path: string, { target }: Import): string | undefined {
  if (target === "bun" || target.startsWith("node:")) {
    if (!isIn(path, PURE) || PURE_BUILT_INS.includes(target)) return undefined;
    if (PURE_USES[target]?.includes(path) === true) return undefined;
    return `${target} is I/O, and this folder has none`;
  }
  const places = PACKAGE_PLACES[target];
  if (places === undefined) return `${target} has no entry in test/tidy/import-rules.ts`;
  return isIn(path, places) ? undefined : `${target} may be imported only in ${places.join(", ")}`;
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place));
}

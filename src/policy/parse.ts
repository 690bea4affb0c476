/**
 * Policy files to documents, or to everything that is wrong with them: all files, all documents, all errors in one
 * pass, each with its line, since whoever writes policy would rather fix ten things once than one thing ten times.
 */

import type { z } from "zod";
import { documentKey, POLICY_KINDS } from "./document-key.ts";
import { validate } from "./explain.ts";
import { recogniseForeign } from "./foreign.ts";
import { type DocumentKey, MESH_NAMESPACE } from "./names.ts";
import { nearest } from "./nearest.ts";
import { byPosition, formatPath, type Position, type Problem } from "./problems.ts";
import type { DocumentPath } from "./remark.ts";
import { err, ok, type Result } from "./result.ts";
import {
  accessPolicyDocument,
  meshDocument,
  type PolicyDocument,
  type PolicyKind,
  rateLimitDocument,
  routeDocument,
  serviceDocument,
} from "./schema.ts";
import { positionsOf, readYaml } from "./yaml-text.ts";
import { type Fault, findPlace, offsetOf, type Place, readTree } from "./yaml-tree.ts";

/** UTF-8 bytes of one file; ten thousand ordinary documents fit. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Over all files; as many as one command may carry. */
export const DOCUMENTS_MAX = 10_000;

export interface PolicySource {
  /** As the user named it: only ever shown. */
  readonly file: string;
  readonly text: string;
}

/** A valid document and where it came from. */
export interface LocatedDocument {
  readonly document: PolicyDocument;
  readonly key: DocumentKey;
  readonly file: string;
  /** Where a value stands; for one that is not there, where the closest map or list around it stands. */
  locate(path: DocumentPath): Position;
}

const SCHEMAS: Readonly<Record<PolicyKind, z.core.$ZodType<PolicyDocument>>> = {
  Mesh: meshDocument,
  Service: serviceDocument,
  Route: routeDocument,
  AccessPolicy: accessPolicyDocument,
  RateLimit: rateLimitDocument,
};

/** Reads YAML 1.2 (any number of documents) and JSON. Pure; files without a document are no error. */
export function parsePolicy(sources: readonly PolicySource[]): Result<LocatedDocument[], Problem[]> {
  const { documents, problems } = readPolicy(sources);
  return problems.length === 0 ? ok([...documents]) : err([...problems]);
}

/** The documents that are valid, and what is wrong with the others: for whoever wants to say every mistake at once. */
export function readPolicy(sources: readonly PolicySource[]): {
  readonly documents: readonly LocatedDocument[];
  readonly problems: readonly Problem[];
} {
  const parsing = new Parsing();
  for (const source of sources) parsing.source(source);
  return { documents: parsing.documents, problems: parsing.problems };
}

class Parsing {
  readonly documents: LocatedDocument[] = [];
  readonly problems: Problem[] = [];
  readonly #places = new Map<DocumentKey, { readonly file: string } & Position>();
  #seen = 0;

  source({ file, text }: PolicySource): void {
    const bytes = Buffer.byteLength(text);
    if (bytes > FILE_BYTES_MAX) {
      const message = `has ${bytes} bytes; at most ${FILE_BYTES_MAX} are read from one file`;
      this.problems.push({ file, line: 0, column: 0, path: "", message, hint: "split it into several files" });
      return;
    }
    const problems = new FileProblems(file, positionsOf(text));
    reading: for (const { root, faults } of readYaml(text, problems.positionAt)) {
      const all = [...faults];
      const tree = root === undefined ? undefined : readTree(root, all);
      for (const fault of all) problems.fault(fault);
      if (tree === undefined) continue;
      // A list of documents is what JSON has instead of `---`.
      const items = Array.isArray(tree.value) ? tree.value.entries() : [[undefined, tree.value] as const];
      for (const [index, value] of items) {
        const place = index === undefined ? tree.place : findPlace(tree.place, [index]);
        if (!this.#count(place, problems)) break reading;
        this.#document(value, place, problems);
      }
    }
    this.problems.push(...problems.all.sort(byPosition));
  }

  #count(place: Place, problems: FileProblems): boolean {
    this.#seen += 1;
    if (this.#seen === DOCUMENTS_MAX + 1) {
      const hint = "apply them in several steps";
      problems.add(place.start, [], { message: `more than ${DOCUMENTS_MAX} documents at once`, hint });
    }
    return this.#seen <= DOCUMENTS_MAX;
  }

  #document(value: unknown, place: Place, problems: FileProblems): void {
    const kind = readKind(value, place, problems);
    if (kind === undefined) return;
    const key = keyOf(kind, value);
    if (key !== undefined) this.#unique(key, place, problems);
    const result = validate(SCHEMAS[kind], value);
    if (!result.ok) {
      for (const { path, atKey, message, hint } of result.error) {
        const at = findPlace(place, path);
        problems.add(atKey ? (at.key ?? at.start) : offsetOf(at), path, { message, hint }, key);
      }
      return;
    }
    const document = result.value;
    this.documents.push({
      document,
      key: documentKey(document),
      file: problems.file,
      locate: (path) => problems.positionAt(offsetOf(findPlace(place, path))),
    });
  }

  #unique(key: DocumentKey, place: Place, problems: FileProblems): void {
    const first = this.#places.get(key);
    if (first === undefined) {
      this.#places.set(key, { file: problems.file, ...problems.positionAt(place.start) });
      return;
    }
    const message = `${key} is declared twice: first at ${first.file}:${first.line}:${first.column}`;
    problems.add(place.start, [], { message, hint: "keep one of the two" }, key);
  }
}

/** The kind of a document that is Heddle's; otherwise says what is wrong with it and gives up on it. */
function readKind(value: unknown, place: Place, problems: FileProblems): PolicyKind | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const hint = "a document is a map with apiVersion, kind, metadata and spec";
    problems.add(place.start, [], { message: "this is not a document", hint });
    return undefined;
  }
  const name = readField(value, "kind");
  const apiVersion = readField(value, "apiVersion");
  const at = offsetOf(findPlace(place, ["kind"]));
  if (typeof name !== "string") {
    const hint = `write one of ${POLICY_KINDS.join(", ")}`;
    problems.add(at, ["kind"], { message: name === undefined ? "is missing" : "must be text", hint });
    return undefined;
  }
  const kind = POLICY_KINDS.find((known) => known === name);
  const foreign = recogniseForeign(apiVersion, name);
  if (foreign !== undefined) {
    problems.add(at, ["kind"], foreign);
    return undefined;
  }
  if (kind === undefined) {
    const meant = nearest(name, POLICY_KINDS);
    const hint = meant === undefined ? `write one of ${POLICY_KINDS.join(", ")}` : `did you mean ${meant}?`;
    problems.add(at, ["kind"], { message: `there is no kind ${JSON.stringify(name)}`, hint });
  }
  return kind;
}

/** The key that a document would have, as far as its metadata can be read. */
function keyOf(kind: PolicyKind, value: unknown): DocumentKey | undefined {
  const metadata = readField(value, "metadata");
  const namespace = kind === "Mesh" ? MESH_NAMESPACE : readField(metadata, "namespace");
  const name = readField(metadata, "name");
  return typeof namespace === "string" && typeof name === "string" ? `${kind}/${namespace}/${name}` : undefined;
}

function readField(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

/** Collects what is wrong with one file, from offsets to lines. */
class FileProblems {
  readonly all: Problem[] = [];
  /** Offsets at which the text itself is at fault: what could not be read is not also missing or of the wrong type. */
  readonly #faulty = new Set<number>();

  constructor(
    readonly file: string,
    readonly positionAt: (offset: number) => Position,
  ) {}

  add(
    offset: number,
    path: DocumentPath,
    { message, hint }: { message: string; hint?: string | undefined },
    document?: DocumentKey,
  ): void {
    if (this.#faulty.has(offset)) return;
    this.all.push({
      file: this.file,
      ...this.positionAt(offset),
      path: formatPath(path),
      message,
      ...(document !== undefined && { document }),
      ...(hint !== undefined && { hint }),
    });
  }

  fault({ offset, message, hint, earlier }: Fault): void {
    const first = earlier === undefined ? "" : `: first on line ${this.positionAt(earlier).line}`;
    this.add(offset, [], { message: `${message}${first}`, hint });
    this.#faulty.add(offset);
  }
}

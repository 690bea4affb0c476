/**
 * Text to YAML documents, within bounds and without giving up at the first error. JSON is read by the same parser,
 * as YAML 1.2 allows: one document, a list of documents, or documents one after another.
 */

import {
  Composer,
  type Document,
  type ErrorCode,
  isScalar,
  Lexer,
  LineCounter,
  type ParsedNode,
  Parser,
  type YAMLError,
} from "yaml";
import type { Position } from "./problems.ts";
import type { Fault } from "./yaml-tree.ts";

/** How deep maps and lists may nest; documents need about ten, and the parser's calls nest as deep as the text. */
const NESTING_MAX = 64;

/** The parser's stack holds one entry per map or list, the document around them and a scalar inside. */
const PARSER_STACK_MAX = NESTING_MAX + 2;

/** Where one JSON document ends and the next begins: a `{` that starts a line, after a `}` that no comma follows. */
const BETWEEN_JSON_DOCUMENTS = /(?=\{)(?<=\}\s*\n)/;

const OPTIONS = {
  schema: "core",
  merge: false,
  resolveKnownTags: false,
  stringKeys: true,
  // Checked while the tree is read: the parser compares each key with every other one.
  uniqueKeys: false,
  prettyErrors: false,
} as const;

/** Where the parser speaks of its own settings. */
const REASONS: Partial<Record<ErrorCode, string>> = {
  NON_STRING_KEY: "a list, a map or an alias cannot stand on the left of a colon",
};

/** What to do about the errors that people meet most. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  BAD_INDENT: "check the indentation, and that brackets are closed",
  BAD_SCALAR_START: "put the text in quotes",
  BLOCK_AS_IMPLICIT_KEY: "check the indentation, or put text that contains a colon in quotes",
  MULTILINE_IMPLICIT_KEY: "check for a missing colon on the line before",
  TAB_AS_INDENT: "indent with spaces",
  TAG_RESOLVE_FAILED: "leave the tag out",
};

/** One `---` section of a file. */
export interface YamlDocument {
  /** Absent where the text is no YAML. */
  readonly root: ParsedNode | undefined;
  readonly faults: readonly Fault[];
}

type PositionAt = (offset: number) => Position;

/** Finds lines and columns of offsets. */
export function positionsOf(text: string): PositionAt {
  const counter = new LineCounter();
  counter.addNewLine(0);
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) counter.addNewLine(end + 1);
  return (offset) => {
    const { line, col } = counter.linePos(offset);
    return { line, column: col };
  };
}

/** The documents of one file in order, empty ones left out. All offsets are into `text`. */
export function* readYaml(text: string, positionAt: PositionAt): Generator<YamlDocument> {
  let offset = 0;
  const isJson = text.trimStart().startsWith("{");
  for (const part of isJson ? text.split(BETWEEN_JSON_DOCUMENTS) : [text]) {
    const composer = new Composer<ParsedNode>(OPTIONS);
    yield* compose(part, offset, composer, positionAt);
    const { errors, warnings } = composer.streamInfo();
    const faults = describe([...errors, ...warnings], positionAt);
    if (faults.length > 0) yield { root: undefined, faults };
    offset += part.length;
  }
}

/** Composes while the parser runs, so that text nested too deep is turned away before any call nests with it. */
function* compose(
  part: string,
  offset: number,
  composer: Composer<ParsedNode>,
  positionAt: PositionAt,
): Generator<YamlDocument> {
  const parser = new Parser();
  parser.offset = offset;
  for (const lexeme of new Lexer().lex(part)) {
    for (const token of parser.next(lexeme)) yield* sections(composer.next(token), positionAt);
    if (parser.stack.length > PARSER_STACK_MAX) {
      const message = `maps and lists are nested more than ${NESTING_MAX} deep`;
      yield { root: undefined, faults: [{ offset: parser.offset, message }] };
      return;
    }
  }
  for (const token of parser.end()) yield* sections(composer.next(token), positionAt);
  yield* sections(composer.end(), positionAt);
}

function* sections(documents: Iterable<Document.Parsed<ParsedNode>>, positionAt: PositionAt): Generator<YamlDocument> {
  for (const { contents, errors, warnings } of documents) {
    const faults = describe([...errors, ...warnings], positionAt);
    const empty = contents === null || (isScalar(contents) && contents.value === null);
    if (errors.length > 0) yield { root: undefined, faults };
    else if (!empty || faults.length > 0) yield { root: contents ?? undefined, faults };
  }
}

/** One fault per line: whatever follows the first on its line is only the parser finding its feet again. */
function describe(errors: readonly YAMLError[], positionAt: PositionAt): Fault[] {
  const byLine = new Map<number, Fault>();
  for (const error of errors) {
    const [offset] = error.pos;
    const { line } = positionAt(offset);
    if (byLine.has(line)) continue;
    const reason = REASONS[error.code] ?? `${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`;
    const hint = HINTS[error.code];
    byLine.set(line, { offset, message: `is not valid YAML: ${reason}`, ...(hint !== undefined && { hint }) });
  }
  return [...byLine.values()];
}

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  looseReading,
  normalisePath,
  normalisePattern,
  type PathFault,
  pathEnd,
  withoutParameters,
} from "../../../src/proxy/route/path.ts";

const accepted: readonly (readonly [input: string, normal: string])[] = [
  ["/", "/"],
  ["*", "*"],
  ["/charge", "/charge"],
  ["/charge/", "/charge/"],
  ["/.well-known/spiffe", "/.well-known/spiffe"],
  ["/..foo/.bar/...", "/..foo/.bar/..."],
  ["/a?b=/../%zz%2f//", "/a?b=/../%zz%2f//"],
  ["/a?b=caf\u00e9", "/a?b=caf\u00e9"],
  ["/?", "/?"],
  ["/%41%7e%2D%5f", "/A~-_"],
  ["/caf%c3%a9", "/caf%C3%A9"],
  ["/a%3ab", "/a%3Ab"],
  ["//", "/"],
  ["//a///b//", "/a/b/"],
  ["/a//../b", "/b"],
  ["/a/b/../c", "/a/c"],
  ["/a/b/..", "/a/"],
  ["/a/b/../", "/a/"],
  ["/a/.", "/a/"],
  ["/.", "/"],
  ["/..", "/"],
  ["/../../a", "/a"],
  ["/a/%2e%2E/b", "/b"],
  ["/a/.%2e/b?x=..", "/b?x=.."],
  ["/a/./b", "/a/b"],
  ["/projects/group%2fname", "/projects/group%2Fname"],
  ["/users/DOMAIN%5cname", "/users/DOMAIN%5Cname"],
  ["/a;v=1/b", "/a;v=1/b"],
  ["/a;v=..", "/a;v=.."],
  ["/a%252e%252e%252fb", "/a%252e%252e%252fb"],
  ["/a%2f.b", "/a%2F.b"],
  ["/a/..b%2f/../c", "/a/c"],
];

const refused: readonly (readonly [input: string, fault: PathFault])[] = [
  ["", "path_not_absolute"],
  ["a", "path_not_absolute"],
  ["?a", "path_not_absolute"],
  ["**", "path_not_absolute"],
  ["/%", "path_malformed_escape"],
  ["/%4", "path_malformed_escape"],
  ["/%zz", "path_malformed_escape"],
  ["/%4?1", "path_malformed_escape"],
  ["/% 41", "path_invalid_character"],
  ["/%u0041", "path_malformed_escape"],
  ["/a%00", "path_nul"],
  ["/a\0", "path_invalid_character"],
  ["/a\tb", "path_invalid_character"],
  ["/a b", "path_invalid_character"],
  ["/a\r\nb", "path_invalid_character"],
  ["/a\u007f", "path_invalid_character"],
  ["/caf\u00e9", "path_invalid_character"],
  ["/%41caf\u00e9", "path_invalid_character"],
  ["/a\\b", "path_invalid_character"],
  ["/a/..\\b", "path_invalid_character"],
  ["/a#b", "path_invalid_character"],
  ["/a?b c", "path_invalid_character"],
  ["/a?b\r\nx: y", "path_invalid_character"],
  ["/a?b#c", "path_invalid_character"],
  ["/a?b\u007f", "path_invalid_character"],
  ["//a?b#c", "path_invalid_character"],
  ["/a/..%2fb", "path_ambiguous_dot_segment"],
  ["/a/%2e%2e%2fb", "path_ambiguous_dot_segment"],
  ["/a/%2f..", "path_ambiguous_dot_segment"],
  ["/a%2f..%2fb", "path_ambiguous_dot_segment"],
  ["/a%5c..%5cb", "path_ambiguous_dot_segment"],
  ["/a%2f./b", "path_ambiguous_dot_segment"],
  ["/public/..;/admin", "path_ambiguous_dot_segment"],
  ["/public/.;x=1/admin", "path_ambiguous_dot_segment"],
  ["/public/..%3b/admin", "path_ambiguous_dot_segment"],
];

describe("normalisePath", () => {
  test.each(accepted)("%j becomes %j", (input, normal) => {
    expect(normalisePath(input)).toEqual({ ok: true, value: normal });
  });

  test.each(refused)("%j is refused: %s", (input, fault) => {
    expect(normalisePath(input)).toEqual({ ok: false, error: fault });
  });

  /** Pieces from which everything dangerous can be put together. */
  const piece = fc.constantFrom(
    ..."/ // . .. %2e %2E %2f %2F %5c ; ;v=1 a Z ~ %41 %7E %c3%a9 %25 %00 %zz % \\ # ? ?q=/.. é %3b : %3A .. ../ /".split(
      " ",
    ),
  );
  const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);

  test("agrees with a slow reading, character by character and segment by segment", () => {
    fc.assert(
      fc.property(target, (input) => {
        const result = normalisePath(input);
        expect(result.ok ? result.value : undefined).toBe(slowReference(input));
      }),
      { numRuns: 5000 },
    );
  });

  test("is idempotent", () => {
    fc.assert(
      fc.property(target, (input) => {
        const once = normalisePath(input);
        if (once.ok) expect(normalisePath(once.value)).toEqual(once);
      }),
      { numRuns: 5000 },
    );
  });

  test("leaves nothing that decoding once more or dropping parameters would turn into a dot segment", () => {
    fc.assert(
      fc.property(target, (input) => {
        const result = normalisePath(input);
        if (!result.ok) return;
        const loose = looseReading(result.value.slice(0, pathEnd(result.value)));
        const segments = [...loose.split("/"), ...withoutParameters(loose).split("/")];
        expect(segments.filter((segment) => segment === "." || segment === "..")).toEqual([]);
      }),
      { numRuns: 5000 },
    );
  });

  test("never touches the query", () => {
    fc.assert(
      fc.property(target, fc.stringMatching(/^[!-"$-~]*$/), (path, query) => {
        const result = normalisePath(`${path.replaceAll("?", "")}?${query}`);
        if (result.ok) expect(result.value.slice(pathEnd(result.value))).toBe(`?${query}`);
      }),
    );
  });
});

/** RFC 3986 §5.2.4 and §6.2.2 in the plainest words: no fast path, no shared code. Undefined: refused. */
function slowReference(target: string): string | undefined {
  const [path = "", ...rest] = target.split("?");
  const query = rest.length > 0 ? `?${rest.join("?")}` : "";
  if (/[^!-~]|[\\#]/.test(path) || /[\0- \x7f#]/.test(query)) return undefined;
  let decoded = "";
  for (let i = 0; i < path.length; i++) {
    if (path[i] !== "%") {
      decoded += path[i];
      continue;
    }
    const hex = path.slice(i + 1, i + 3);
    if (hex.length !== 2 || /[^0-9a-f]/i.test(hex) || hex === "00") return undefined;
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    decoded += /[A-Za-z0-9._~-]/.test(character) ? character : `%${hex.toUpperCase()}`;
    i += 2;
  }
  const stack: string[] = [];
  let open = true;
  for (const segment of decoded.split("/").slice(1)) {
    open = [".", "..", ""].includes(segment);
    if (segment === "..") stack.pop();
    if (open) continue;
    const parts = segment.split(/%2F|%5C/);
    if (parts.some((part) => [".", ".."].includes(part.split(/;|%3B/)[0] ?? ""))) return undefined;
    stack.push(segment);
  }
  return `/${stack.join("/")}${open && stack.length > 0 ? "/" : ""}${query}`;
}

describe("normalisePattern", () => {
  test.each([
    ["/charge", "/charge"],
    ["/café", "/caf%C3%A9"],
    ["/my file", "/my%20file"],
    ["/%7euser/%c3%a9", "/~user/%C3%A9"],
    ["/a/../b", "/a/../b"],
    ["/half%2", "/half%2"],
    ["/\ud800", "/%EF%BF%BD"],
  ])("%j is compared as %j", (pattern, compared) => {
    expect(normalisePattern(pattern)).toBe(compared);
  });
});

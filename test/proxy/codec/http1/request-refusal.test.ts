/**
 * What a server must not accept (RFC 9110, RFC 9112), with the attacks of the request smuggling literature among them.
 * Each row is fed whole, byte by byte and in random pieces, and must be refused for the same reason every time.
 */

import { describe, expect, test } from "bun:test";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import { seededRandom } from "../../../support/random.ts";
import { feed, serverUnderTest } from "./recorder.ts";

/** What was sent, the status of the answer, and its reason. */
type Row = readonly [name: string, input: string, status: number, detail: string];

const HOST = "Host: a\r\n";
/** A request with these lines after `Host`, and what follows its head. */
function post(lines: string, rest = ""): string {
  return `POST / HTTP/1.1\r\n${HOST}${lines}\r\n${rest}`;
}
function get(line: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${line}\r\n\r\n`;
}
function target(text: string, method = "GET"): string {
  return `${method} ${text} HTTP/1.1\r\n${HOST}\r\n`;
}
function chunked(body: string): string {
  return post("Transfer-Encoding: chunked\r\n", body);
}

const LENGTH: Row[] = [
  "",
  "+5",
  "-5",
  "5 5",
  "5,5",
  "5, 5",
  "5;5",
  "0x5",
  "5a",
  "a",
  "5.0",
  "5e0",
  "\x0b5",
  "5\xa0",
  "1_0",
  '"5"',
  "9007199254740992",
  "18446744073709551616",
  "99999999999999999999999",
  "00000000000000005",
  "NaN",
  "Infinity",
].map((value) =>
  value === "\x0b5"
    ? [`Content-Length: ${JSON.stringify(value)}`, post(`Content-Length: ${value}\r\n`), 400, "field_value_invalid"]
    : [`Content-Length: ${JSON.stringify(value)}`, post(`Content-Length: ${value}\r\n`), 400, "content_length_invalid"],
);

const CODING: Row[] = [
  ...[
    "gzip",
    "deflate",
    "compress",
    "identity",
    "xchunked",
    "gzip, chunked",
    "chunkedd",
    "x-chunked",
    "'chunked",
    "\u00ffchunked",
  ].map(
    (value): Row => [
      `Transfer-Encoding: ${value}`,
      post(`Transfer-Encoding: ${value}\r\n`),
      value.startsWith("\u00ff") ? 400 : 501,
      value.startsWith("\u00ff") ? "transfer_encoding_invalid" : "transfer_encoding_unknown",
    ],
  ),
  ...[
    "",
    ",",
    "chunked, gzip",
    "chunked, chunked",
    "chunked,",
    ",chunked",
    "chunked;q=1",
    "chunked ,",
    '"chunked"',
    "chun ked",
    "chunked, identity",
    "chunked\t,gzip",
  ].map(
    (value): Row => [
      `Transfer-Encoding: ${JSON.stringify(value)}`,
      post(`Transfer-Encoding: ${value}\r\n`),
      400,
      "transfer_encoding_invalid",
    ],
  ),
];

const SMUGGLING: Row[] = [
  [
    "CL.TE",
    post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
    400,
    "content_length_with_transfer_encoding",
  ],
  [
    "TE.CL",
    post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST / HTTP/1.1\r\n"),
    400,
    "content_length_with_transfer_encoding",
  ],
  [
    "CL.0 with TE",
    post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
    400,
    "content_length_with_transfer_encoding",
  ],
  [
    "TE.TE, second unknown",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
    400,
    "transfer_encoding_invalid",
  ],
  [
    "TE.TE, first unknown",
    post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"),
    501,
    "transfer_encoding_unknown",
  ],
  [
    "TE.TE, twice chunked",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    400,
    "transfer_encoding_invalid",
  ],
  ["TE with a space before the colon", post("Transfer-Encoding : chunked\r\n"), 400, "field_name_invalid"],
  ["TE with a tab before the colon", post("Transfer-Encoding\t: chunked\r\n"), 400, "field_name_invalid"],
  ["TE with a leading space", post(" Transfer-Encoding: chunked\r\n"), 400, "obsolete_line_folding"],
  ["TE folded", post("Transfer-Encoding:\r\n chunked\r\n"), 400, "transfer_encoding_invalid"],
  ["TE after a vertical tab", post("Transfer-Encoding:\x0bchunked\r\n"), 400, "field_value_invalid"],
  ["TE after a form feed", post("Transfer-Encoding:\x0cchunked\r\n"), 400, "field_value_invalid"],
  ["TE after NUL", post("Transfer-Encoding: \0chunked\r\n"), 400, "field_value_invalid"],
  ["TE after a bare LF", post("X: x\nTransfer-Encoding: chunked\r\n"), 400, "bare_cr_or_lf"],
  ["TE after a bare CR", post("X: x\rTransfer-Encoding: chunked\r\n"), 400, "bare_cr_or_lf"],
  ["TE behind CR CR LF", post("X: x\r\r\nTransfer-Encoding: chunked\r\n"), 400, "bare_cr_or_lf"],
  ["TE with a quoted name", post('"Transfer-Encoding": chunked\r\n'), 400, "field_name_invalid"],
  ["TE without a colon", post("Transfer-Encoding chunked\r\n"), 400, "field_name_invalid"],
  [
    "TE under HTTP/1.0",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
    "transfer_encoding_from_http_1_0",
  ],
  ["two lengths that differ", post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, "content_length_repeated"],
  ["two lengths that agree", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, "content_length_repeated"],
  [
    "two lengths, one in other case",
    post("Content-Length: 5\r\ncontent-LENGTH: 6\r\n"),
    400,
    "content_length_repeated",
  ],
  [
    "CONNECT with content",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nhello",
    400,
    "content_with_connect",
  ],
  [
    "CONNECT in chunks",
    "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    400,
    "content_with_connect",
  ],
  ["TRACE with content", `TRACE / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`, 400, "content_with_trace"],
  ["TRACE in chunks", `TRACE / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`, 400, "content_with_trace"],
];

const CHUNKS: Row[] = [
  ...[
    "+5",
    "-5",
    "0x5",
    " 5",
    "5 ",
    "\t5",
    "5\t",
    "g",
    "",
    "5,",
    "5.0",
    "_5",
    "\u00b25",
    "5 ;x",
    "00000000000005",
    "fffffffffffffff",
    "100000000000000000",
    "\x005",
    "5\x0b",
  ].map(
    (size): Row => [
      `chunk size ${JSON.stringify(size)}`,
      chunked(`${size}\r\nhello\r\n0\r\n\r\n`),
      400,
      "chunk_size_invalid",
    ],
  ),
  ["chunk size, bare LF", chunked("5\nhello\r\n0\r\n\r\n"), 400, "chunk_size_invalid"],
  ["chunk size, CR CR LF", chunked("5\r\r\nhello\r\n0\r\n\r\n"), 400, "bare_cr_or_lf"],
  ["chunk size, bare CR", chunked("5\rhello\r\n0\r\n\r\n"), 400, "bare_cr_or_lf"],
  ["extension with bare LF (TERM.EXT)", chunked("5;x\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension with bare CR (EXT.TERM)", chunked("5;x\rx\r\nhello\r\n0\r\n\r\n"), 400, "bare_cr_or_lf"],
  ["extension without a name", chunked("5;\r\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension whose name is no token", chunked("5;b[d\r\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension without its value", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension with an open string", chunked('5;a="b\r\nhello\r\n0\r\n\r\n'), 400, "chunk_extension_invalid"],
  ["extension with white space behind it", chunked("5;a \r\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension with NUL", chunked("5;x\0\r\nhello\r\n0\r\n\r\n"), 400, "chunk_extension_invalid"],
  ["extension without end", chunked(`5;${"x".repeat(300)}\r\nhello\r\n0\r\n\r\n`), 400, "chunk_line_too_long"],
  ["extension of the last chunk without end", chunked(`0;${"x".repeat(300)}\r\n\r\n`), 400, "chunk_line_too_long"],
  ["data longer than its size", chunked("5\r\nhello!\r\n0\r\n\r\n"), 400, "chunk_end_missing"],
  ["data without CRLF", chunked("5\r\nhello0\r\n\r\n"), 400, "chunk_end_missing"],
  ["data with bare LF (TERM.SPILL)", chunked("5\r\nhello\n0\r\n\r\n"), 400, "chunk_end_missing"],
  ["data with bare CR", chunked("5\r\nhello\r0\r\n\r\n"), 400, "chunk_end_missing"],
  ["any two bytes after the data (SPILL)", chunked("5\r\nhelloXX0\r\n\r\n"), 400, "chunk_end_missing"],
  ["trailers with bare LF", chunked("0\r\nX: 1\n\r\n"), 400, "bare_cr_or_lf"],
  ["bare LF after the last chunk", chunked("0\r\n\n"), 400, "bare_cr_or_lf"],
  ["trailer without a name", chunked("0\r\n: 1\r\n\r\n"), 400, "field_name_invalid"],
  ["trailer with a space before the colon", chunked("0\r\nX : 1\r\n\r\n"), 400, "field_name_invalid"],
  ["trailer folded", chunked("0\r\nX: 1\r\n 2\r\n\r\n"), 400, "obsolete_line_folding"],
  ["trailers that are too large", chunked(`0\r\nX: ${"x".repeat(17_000)}\r\n\r\n`), 431, "trailers_too_large"],
  ["too many trailers", chunked(`0\r\n${"X: 1\r\n".repeat(101)}\r\n`), 431, "too_many_fields"],
];

const LINES: Row[] = [
  ["LF only", `GET / HTTP/1.1\n${HOST}\n`, 400, "bare_cr_or_lf"],
  ["LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_cr_or_lf"],
  ["LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_cr_or_lf"],
  ["LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_cr_or_lf"],
  ["CR only", "GET / HTTP/1.1\rHost: a\r\r", 400, "bare_cr_or_lf"],
  ["two empty lines first", `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`, 400, "empty_start_line"],
  ["CR CR LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400, "bare_cr_or_lf"],
  ["white space before the first field", `GET / HTTP/1.1\r\n ${HOST}\r\n`, 400, "obsolete_line_folding"],
  ["a tab before the first field", `GET / HTTP/1.1\r\n\t${HOST}\r\n`, 400, "obsolete_line_folding"],
  ["folding", get("X: 1\r\n 2"), 400, "obsolete_line_folding"],
  ["folding with a tab", get("X: 1\r\n\t2"), 400, "obsolete_line_folding"],
  ["folding of nothing", get("X: 1\r\n "), 400, "obsolete_line_folding"],
  ["empty name", get(": x"), 400, "field_name_invalid"],
  ["no colon", get("x"), 400, "field_colon_missing"],
  ["a start line as a field", get("GET / HTTP/1.1"), 400, "field_name_invalid"],
  ["too many fields", `GET / HTTP/1.1\r\n${"X: 1\r\n".repeat(101)}\r\n`, 431, "too_many_fields"],
  ["a head that is too large", get(`X: ${"x".repeat(DEFAULT_LIMITS.headBytesMax)}`), 431, "head_too_large"],
  ["a head that never ends", `GET / HTTP/1.1\r\nX: ${"x".repeat(70_000)}`, 431, "head_too_large"],
  ["a target that is too long", target(`/${"x".repeat(DEFAULT_LIMITS.targetBytesMax)}`), 414, "target_too_long"],
  ["a method that never ends", "G".repeat(70_000), 400, "method_invalid"],
  ["a target that never ends", `GET /${"x".repeat(70_000)}`, 414, "target_too_long"],
];
for (let code = 0; code < 256; code++) {
  const char = String.fromCharCode(code);
  const hex = code.toString(16).padStart(2, "0");
  if (code === 0x0d || code === 0x0a) continue;
  if ((code < 0x20 && code !== 0x09) || code === 0x7f) {
    LINES.push([`byte ${hex} in a value`, get(`X: a${char}b`), 400, "field_value_invalid"]);
    LINES.push([`byte ${hex} at the end of a value`, get(`X: a${char}`), 400, "field_value_invalid"]);
    LINES.push([
      `byte ${hex} in an extension`,
      chunked(`5;a${char}\r\nhello\r\n0\r\n\r\n`),
      400,
      "chunk_extension_invalid",
    ]);
  }
  if (!/[0-9A-Za-z!#$%&'*+\-.^_`|~:]/.test(char)) {
    LINES.push([`byte ${hex} in a name`, get(`X${char}Y: 1`), 400, "field_name_invalid"]);
    if (char !== " ")
      LINES.push([`byte ${hex} in a method`, `G${char}T / HTTP/1.1\r\n${HOST}\r\n`, 400, "method_invalid"]);
  }
  if (code <= 0x20 || code >= 0x7f || char === "#") {
    LINES.push([`byte ${hex} in a target`, target(`/a${char}b`), 400, "target_invalid"]);
  }
}

const START_LINES: Row[] = [
  ["HTTP/0.9", "GET /\r\n\r\n", 400, "request_line_invalid"],
  ["HTTP/0.9 spelled out", `GET / HTTP/0.9\r\n${HOST}\r\n`, 505, "version_unsupported"],
  ["HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_unsupported"],
  ["HTTP/3.0", `GET / HTTP/3.0\r\n${HOST}\r\n`, 505, "version_unsupported"],
  ["a version of two digits", `GET / HTTP/1.11\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["a version without minor", `GET / HTTP/1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["a version in lower case", `GET / http/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["another protocol", `GET / HTTPS/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["space after the version", `GET / HTTP/1.1 \r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["no target", `GET HTTP/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["two spaces and no target", `GET  HTTP/1.1\r\n${HOST}\r\n`, 400, "target_invalid"],
  ["two spaces after the method", `GET  / HTTP/1.1\r\n${HOST}\r\n`, 400, "target_invalid"],
  ["two spaces after the target", `GET /  HTTP/1.1\r\n${HOST}\r\n`, 400, "target_invalid"],
  ["tab after the method", `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["tab after the target", `GET /\tHTTP/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["space first", ` GET / HTTP/1.1\r\n${HOST}\r\n`, 400, "method_invalid"],
  ["nothing but a version", ` HTTP/1.1\r\n${HOST}\r\n`, 400, "request_line_invalid"],
  ["only a method", "GET\r\n\r\n", 400, "request_line_invalid"],
  ["a relative target", target("a/b"), 400, "target_invalid"],
  ["asterisk with GET", target("*"), 400, "target_invalid"],
  ["authority-form with GET", target("a:443"), 400, "target_invalid"],
  ["absolute-form, user information", target("http://user:pw@a/"), 400, "target_invalid"],
  ["absolute-form, no host", target("http:///x"), 400, "target_invalid"],
  ["absolute-form, bad port", target("http://a:99999/"), 400, "target_invalid"],
  ["absolute-form, empty port", target("http://a:/"), 400, "target_invalid"],
  ["absolute-form, another scheme", target("ftp://a/"), 400, "target_invalid"],
  ["absolute-form, no slashes", target("http:a"), 400, "target_invalid"],
  ["absolute-form, backslash in the host", target("http://a\\b/"), 400, "target_invalid"],
  ["CONNECT without a port", target("a", "CONNECT"), 400, "target_invalid"],
  ["CONNECT with a path", target("/a", "CONNECT"), 400, "target_invalid"],
  ["CONNECT with a URI", target("http://a:443", "CONNECT"), 400, "target_invalid"],
];

const HOSTS: Row[] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "host_missing"],
  ["no Host in absolute-form", "GET http://a/ HTTP/1.1\r\n\r\n", 400, "host_missing"],
  ["two Hosts", get("Host: b"), 400, "host_repeated"],
  ["the same Host twice", get("Host: a"), 400, "host_repeated"],
  ["two Hosts in other case", get("hOST: b"), 400, "host_repeated"],
  ["two Hosts under HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host_repeated"],
  ...[
    "",
    "a b",
    "a,b",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "u:p@a",
    "a\\b",
    "a:",
    "a:0",
    "a:65536",
    "a:99999",
    "a:123456",
    "a:-1",
    "a:+1",
    "a: 80",
    "a:8x",
    "a:80:80",
    ":80",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]:",
    "[g::]",
    "[]",
    "a%2eb",
    "a%00b",
    "a\u00e9",
    "a\u007f",
    "a;b",
    "a'b",
    "a&b=c",
    "a(b)",
    "a*",
    "a!",
    "a$b",
    "<a>",
    "a|b",
    "a^b",
    "{a}",
    "a`b",
    'a"b',
    "http://a",
    "x".repeat(256),
  ].map(
    (value): Row => [
      `Host: ${JSON.stringify(value.slice(0, 20))}`,
      `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`,
      400,
      value === "a\u007f" ? "field_value_invalid" : "host_invalid",
    ],
  ),
  ["a bad Host behind absolute-form", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host_invalid"],
];

const SEMANTICS: Row[] = [
  ["an unknown expectation", post("Expect: 200-ok\r\n"), 417, "expectation_unknown"],
  ["two expectations", post("Expect: 100-continue\r\nExpect: x\r\n"), 417, "expectation_unknown"],
  ["a Connection option that is no token", get("Connection: close, a b"), 400, "connection_option_invalid"],
];

const ROWS = [...LENGTH, ...CODING, ...SMUGGLING, ...CHUNKS, ...LINES, ...START_LINES, ...HOSTS, ...SEMANTICS];

/** The same request behind a good one too: whatever was accepted before must not soften what comes after. */
const GOOD = `GET /first HTTP/1.1\r\n${HOST}\r\n`;

function refusalOf(input: string, nextSize?: () => number): Record<string, unknown> {
  const { connection, output, requests } = serverUnderTest((request) => {
    if (request.ended && request.fault === undefined)
      request.stream.sendHead({ status: 204, headers: [], contentLength: undefined, version: "1.1" }, true);
  });
  feed(connection, input, nextSize);
  return {
    text: output.text,
    fate: output.fate,
    requests: requests.map(({ head, body, trailers, ended, fault }) => ({ head, body, trailers, ended, fault })),
  };
}

describe.each([
  ["lengths", LENGTH],
  ["transfer codings", CODING],
  ["smuggling", SMUGGLING],
  ["chunks", CHUNKS],
  ["lines and fields", LINES],
  ["start lines", START_LINES],
  ["hosts", HOSTS],
  ["semantics", SEMANTICS],
] as [string, Row[]][])("%s", (_, rows) => {
  test.each(rows.map((row) => [...row] as [string, string, number, string]))("%s", (_name, input, status, detail) => {
    const whole = refusalOf(input);
    expect(String(whole.text).split(" ")[1]).toBe(String(status));
    expect(String(whole.text).endsWith(`\r\nconnection: close\r\n\r\n${detail}\n`)).toBe(true);
    expect(whole.fate).toBe("ended");

    expect(refusalOf(input, () => 1)).toEqual(whole);
    const random = seededRandom(input.length);
    for (let round = 0; round < 5; round++) {
      expect(refusalOf(input, () => 1 + Math.floor(random() * 40))).toEqual(whole);
    }

    const second = refusalOf(GOOD + input);
    expect(second.text).toBe(`HTTP/1.1 204 No Content\r\n\r\n${whole.text}`);
    expect(second.fate).toBe("ended");
  });
});

test("the corpus has the size it claims to have", () => {
  expect(ROWS.length).toBeGreaterThan(400);
  expect(new Set(ROWS.map(([, input]) => input)).size).toBe(ROWS.length);
});

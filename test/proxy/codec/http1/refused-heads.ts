/** Requests that go wrong before their body: start lines, hosts, fields (RFC 9112 §2, §3, §5). */

import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import { chunked, get, HOST, post, type Row, target } from "./refused-request.ts";

export const LINES: Row[] = [
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

export const START_LINES: Row[] = [
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

export const HOSTS: Row[] = [
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

export const SEMANTICS: Row[] = [
  ["an unknown expectation", post("Expect: 200-ok\r\n"), 417, "expectation_unknown"],
  ["two expectations", post("Expect: 100-continue\r\nExpect: x\r\n"), 417, "expectation_unknown"],
  ["a Connection option that is no token", get("Connection: close, a b"), 400, "connection_option_invalid"],
];

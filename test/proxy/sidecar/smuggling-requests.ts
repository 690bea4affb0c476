/**
 * Requests that two readings could take for two, generated and from the literature (CL.TE, TE.CL, TE.TE, CL.0, 0.CL,
 * H2.CL, H2.TE). Each carries `/outer` as what it says it is, and `/hidden` as what is hidden inside.
 */

import { CLIENT_HELLO, data, headers } from "../../support/http2-frames.ts";

export interface Attempt {
  readonly name: string;
  /** What goes over the wire, latin1. `host` is the service; `id` makes the paths unique. */
  bytes(host: string, id: number): string;
}

const hidden = (host: string, id: number): string => `GET /hidden-${id} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
const chunkedHidden = (host: string, id: number): string => `0\r\n\r\n${hidden(host, id)}`;

/** Fields that say, or may be taken to say, where the body ends; each is combined with a length that covers all. */
const CODINGS = [
  "transfer-encoding: chunked",
  "Transfer-Encoding : chunked",
  "transfer-encoding: xchunked",
  "transfer-encoding: chunked, identity",
  "transfer-encoding: identity, chunked",
  "transfer-encoding: chunked, chunked",
  "transfer-encoding: gzip, chunked",
  "transfer-encoding: chunked;q=1",
  "transfer-encoding: chunked,",
  "transfer-encoding: ,chunked",
  'transfer-encoding: "chunked"',
  "transfer-encoding: 'chunked'",
  "transfer-encoding: CHUNKED",
  "transfer-encoding:chunked",
  "transfer-encoding:",
  "transfer-encoding:\r\n chunked",
  "transfer-encoding: \r\n\tchunked",
  "transfer-encoding\r\n : chunked",
  "transfer-encoding\r\n: chunked",
  " transfer-encoding: chunked",
  "\ttransfer-encoding: chunked",
  "x: y\ntransfer-encoding: chunked",
  "x: y\rtransfer-encoding: chunked",
  "x: y\r\n\ntransfer-encoding: chunked",
  "transfer_encoding: chunked",
  "transfer-encoding: chunked\r\ntransfer-encoding: identity",
  "transfer-encoding: identity\r\ntransfer-encoding: chunked",
  "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
  "connection: content-length",
  "connection: transfer-encoding\r\ntransfer-encoding: chunked",
  "te: chunked",
  "te: trailers\r\ntransfer-encoding: chunked",
  "x-transfer-encoding: chunked",
  "content-encoding: chunked",
  ": chunked",
  "transfer-encoding",
];

const LENGTHS = ["0", "00", "+0", "-0", "0x0", "0,0", "0, 5", " 5", "5 ", "5;", "", "1e1", "0.0", "5_0", "٠"];
const HUGE = [
  "18446744073709551616",
  "18446744073709551615",
  "9007199254740993",
  "4294967296",
  "-1",
  "999999999999999999999",
];

/** Bodies in chunks whose sizes are no sizes, or whose ends are no ends. */
const CHUNKS = [
  "0x5\r\nhello\r\n",
  "5 \r\nhello\r\n",
  " 5\r\nhello\r\n",
  "\t5\r\nhello\r\n",
  "+5\r\nhello\r\n",
  "5_\r\nhello\r\n",
  "5\nhello\r\n",
  "5\rhello\r\n",
  "5\r\nhello",
  "5\r\nhello\n",
  "5\r\nhello\r",
  "5\r\nhelloX\r\n",
  "5\r\nhello\r\n0\r\nx\r\n",
  "5\r\nhello\r\n0\r\nx: y\r\n",
  "5;\x00\r\nhello\r\n",
  "5;a\nb\r\nhello\r\n",
  "5;a\rb\r\nhello\r\n",
  '5;a="\r\nhello\r\n',
  '5;a="\\"\r\nhello\r\n',
  "5;\r\nhello\r\n",
  "5 ;a\r\nhello\r\n",
  `5;${"a".repeat(5000)}\r\nhello\r\n`,
  "ffffffffffffffff5\r\nhello\r\n",
  "100000000000000005\r\nhello\r\n",
  "0000000000000000000005\r\nhello\r\n",
  "-1\r\n",
  "\r\n5\r\nhello\r\n",
  "\r\n",
  "\n",
  "0\r\n\n",
  "0\n\n",
  "0\n\r\n",
  "0\r\r\n\r\n",
  "0\r\n\r",
  "0;\n\r\n",
  "g\r\n",
];

const START_LINES = [
  "GET PATH HTTP/1.1\r\n\thost: HOST",
  "GET  PATH HTTP/1.1",
  "GET PATH  HTTP/1.1",
  "GET PATH HTTP/1.1 ",
  " GET PATH HTTP/1.1",
  "GET PATH HTTP/1.10",
  "GET PATH HTTP/1.01",
  "GET PATH HTTP/11",
  "GET PATH HTTP/2.0",
  "GET PATH HTTP/1",
  "GET PATH HTTP/0.9",
  "GET PATH http/1.1",
  "GET PATH HTTP /1.1",
  "GET PATH HTTP/1.1\r",
  "GET PATH\r\nx HTTP/1.1",
  "GET PATH\rx HTTP/1.1",
  "GET PATH\nx HTTP/1.1",
  "GET PATH HTTP/1.1\x00",
  "G\x00T PATH HTTP/1.1",
  "GET\tPATH HTTP/1.1",
  "GET\x0bPATH HTTP/1.1",
  "GET PATH\x00 HTTP/1.1",
  "GET PATH%00 HTTP/1.1",
  "GET PATH%0d%0a HTTP/1.1",
  "GET PATH%20HTTP/1.1%0d%0a HTTP/1.1",
  "GET PATH#fragment HTTP/1.1",
  "GET PATH\\x HTTP/1.1",
  "GET PATH\x80 HTTP/1.1",
  "GET PATH\x7f HTTP/1.1",
  "GET PATH ",
  "GET PATH",
  "\r\n\r\nGET PATH HTTP/1.1",
  "\nGET PATH HTTP/1.1",
  "\rGET PATH HTTP/1.1",
  "\x00GET PATH HTTP/1.1",
  "GET http://HOST/PATH HTTP/1.1\r\nhost: other",
  "GET http://other/PATH HTTP/1.1",
  "GET http://HOST@other/PATH HTTP/1.1",
  "GET http://PATH HTTP/1.1",
  "GET //HOST/PATH HTTP/1.1",
  "GET PATH HTTP/1.1\r\nhost: HOST",
  "GET PATH HTTP/1.1\r\nhost: other",
  "CONNECT PATH HTTP/1.1",
  "CONNECT HOST:8080 HTTP/1.1",
  "OPTIONS * HTTP/1.1",
  "PRI * HTTP/2.0",
];

/** Octets that some parser somewhere skips, or ends a name, a value or a line with. */
const OCTETS = [
  0, 1, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x1f, 0x20, 0x22, 0x2c, 0x3a, 0x3b, 0x5c, 0x7f, 0x80, 0x85, 0xa0, 0xad, 0xff,
];

export const attempts: Attempt[] = [];

function add(name: string, bytes: Attempt["bytes"]): void {
  attempts.push({ name: JSON.stringify(name), bytes });
}

function post(fields: (body: string) => string, body: Attempt["bytes"], path = "/outer"): Attempt["bytes"] {
  return (host, id) => {
    const text = body(host, id);
    return `POST ${path}-${id} HTTP/1.1\r\nhost: ${host}\r\n${fields(text)}\r\n\r\n${text}`;
  };
}

for (const coding of CODINGS) {
  add(
    `${coding} after a length`,
    post((body) => `content-length: ${body.length}\r\n${coding}`, chunkedHidden),
  );
  add(
    `${coding} before a length`,
    post((body) => `${coding}\r\ncontent-length: ${body.length}`, chunkedHidden),
  );
  // Where the field is another's, the length alone counts, and what comes after it is a second request by right.
  if (/^\s*transfer-encoding/i.test(coding)) {
    add(
      `${coding} with a short length`,
      post(() => `content-length: 5\r\n${coding}`, chunkedHidden),
    );
  }
}
for (const octet of OCTETS) {
  const mark = String.fromCharCode(octet);
  for (const coding of [
    `transfer-encoding:${mark}chunked`,
    `transfer-encoding: chunked${mark}`,
    `transfer-encoding${mark}: chunked`,
    `${mark}transfer-encoding: chunked`,
    `transfer-encoding: chu${mark}nked`,
    `x:${mark}\r\ntransfer-encoding: chunked`,
  ]) {
    add(
      `octet ${octet}: ${coding} after a length`,
      post((body) => `content-length: ${body.length}\r\n${coding}`, chunkedHidden),
    );
  }
  for (const length of [
    `content-length:${mark}0`,
    `content-length: 0${mark}`,
    `content-length${mark}: 0`,
    `${mark}content-length: 0`,
  ]) {
    add(
      `${length} after another`,
      post((body) => `content-length: ${body.length}\r\n${length}`, hidden),
    );
    add(
      `octet ${octet}: ${length} alone`,
      post(
        () => length,
        (host, id) => (octet === 0x20 || octet === 9 ? "" : hidden(host, id)),
      ),
    );
  }
}
for (const length of [...LENGTHS, ...HUGE]) {
  add(
    `length ${length} before another`,
    post((body) => `content-length: ${length}\r\ncontent-length: ${body.length}`, hidden),
  );
  add(
    `length ${length} after another`,
    post((body) => `content-length: ${body.length}\r\ncontent-length: ${length}`, hidden),
  );
  add(
    `length ${length} in one list`,
    post((body) => `content-length: ${body.length}, ${length}`, hidden),
  );
  if (!["0", "00"].includes(length))
    add(
      `length ${length} alone`,
      post(() => `content-length: ${length}`, hidden),
    );
}
for (const chunk of CHUNKS) {
  add(
    `chunk ${chunk}`,
    post(
      () => "transfer-encoding: chunked",
      (host, id) => `${chunk}${hidden(host, id)}`,
    ),
  );
}
for (const line of START_LINES) {
  add(`start line ${line}`, (host, id) => {
    const body = hidden(host, id);
    const start = line.replaceAll("PATH", `/outer-${id}`).replaceAll("HOST", host);
    return `${start}\r\nhost: ${host}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  });
}
for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "FOO"]) {
  add(`body of ${method}`, (host, id) => {
    const body = hidden(host, id);
    return `${method} /outer-${id} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  });
}
for (const fields of [
  "expect: 100-continue",
  "expect: 100-continue\r\nexpect: 100-continue",
  "expect: y 100-continue",
  "expect:\r\n 100-continue",
  "expect: 200-ok",
  "connection: close, content-length",
  "connection: host",
  "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
  "upgrade: h2c",
  "connection: upgrade\r\nupgrade: websocket",
  "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 777",
  "content-type: multipart/byteranges; boundary=x",
  "x-http-method-override: GET",
  "trailer: content-length",
]) {
  add(
    `${fields} with a length`,
    post((body) => `${fields}\r\ncontent-length: ${body.length}`, hidden),
  );
  add(
    `${fields} to one that answers early`,
    post((body) => `${fields}\r\ncontent-length: ${body.length}`, hidden, "/early?"),
  );
}
add(
  "HTTP/1.0 with a coding",
  (host, id) =>
    `POST /outer-${id} HTTP/1.0\r\nhost: ${host}\r\ntransfer-encoding: chunked\r\n\r\n${chunkedHidden(host, id)}`,
);
add("HTTP/1.0 kept alive with both", (host, id) => {
  const body = chunkedHidden(host, id);
  const fields = `connection: keep-alive\r\ntransfer-encoding: chunked\r\ncontent-length: ${body.length}`;
  return `POST /outer-${id} HTTP/1.0\r\nhost: ${host}\r\n${fields}\r\n\r\n${body}`;
});
add("declined upgrade", (host, id) => {
  return `GET /refuse HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n${hidden(host, id)}`;
});

/** Field sections of HTTP/2 requests whose words would end lines, or lengths, in HTTP/1.1. */
type Fields = (host: string, id: number) => [string, string][];

const LINE_ENDS = ["\r\n", "\n", "\r", "\x00"];
const http2: [name: string, fields: Fields][] = [
  ["content-length of nothing", () => [["content-length", "0"]]],
  ["content-length too short", () => [["content-length", "3"]]],
  ["content-length too long", () => [["content-length", "3000"]]],
  [
    "two lengths",
    () => [
      ["content-length", "0"],
      ["content-length", "3"],
    ],
  ],
  ["a list of lengths", () => [["content-length", "0, 3"]]],
  ["a signed length", () => [["content-length", "+3"]]],
  ["an empty length", () => [["content-length", ""]]],
  ["transfer-encoding", () => [["transfer-encoding", "chunked"]]],
  ["Transfer-Encoding in capitals", () => [["Transfer-Encoding", "chunked"]]],
  ["te", () => [["te", "chunked"]]],
  ["connection", () => [["connection", "transfer-encoding"]]],
  ["keep-alive", () => [["keep-alive", "1"]]],
  ["proxy-connection", () => [["proxy-connection", "keep-alive"]]],
  ["upgrade", () => [["upgrade", "h2c"]]],
  ["another host", () => [["host", "other"]]],
  [
    "a late pseudo-header",
    () => [
      ["x", "y"],
      [":path", "/"],
    ],
  ],
  ["an unknown pseudo-header", () => [[":x", "y"]]],
  ["an empty name", () => [["", "y"]]],
  ...LINE_ENDS.flatMap((end): [string, Fields][] => [
    [`a value with ${JSON.stringify(end)}`, (host, id) => [["x", `y${end}${end}${hidden(host, id)}`]]],
    [`a value with a coding after ${JSON.stringify(end)}`, () => [["x", `y${end}transfer-encoding: chunked`]]],
    [`a name with ${JSON.stringify(end)}`, () => [[`x: y${end}transfer-encoding`, "chunked"]]],
    [`a value that begins with ${JSON.stringify(end)}`, () => [["x", `${end}transfer-encoding: chunked`]]],
    [`a value that ends with ${JSON.stringify(end)}`, () => [["x", `y${end}`]]],
  ]),
  ["a colon in a name", () => [["transfer-encoding: chunked x", "y"]]],
  ["a space in a name", () => [["transfer-encoding ", "chunked"]]],
  ["a space before a value", () => [["x", " y"]]],
];
for (const [name, fields] of http2) {
  add(`HTTP/2: ${name}`, (host, id) => frames([...pseudo(host, id), ...fields(host, id)], chunkedHidden(host, id)));
}
for (const [at, end] of [":method", ":scheme", ":path", ":authority"].flatMap((at) =>
  [...LINE_ENDS, " ", "\t"].map((end) => [at, end] as const),
)) {
  add(`HTTP/2: ${at} with ${JSON.stringify(end)}`, (host, id) => {
    const smuggled = ` HTTP/1.1${end}host: ${host}${end}${end}${hidden(host, id)}`;
    const words = pseudo(host, id).map(([name, value]): [string, string] => [
      name,
      name === at ? `${value}${smuggled}` : value,
    ]);
    return frames(words, "");
  });
}
for (const trailer of ["content-length", "transfer-encoding", "host", ":path", "x\r\n\r\nGET /hidden HTTP/1.1"]) {
  add(`HTTP/2: ${JSON.stringify(trailer)} as a trailer`, (host, id) =>
    Buffer.concat([
      CLIENT_HELLO,
      headers(1, pseudo(host, id), false),
      data(1, chunkedHidden(host, id), false),
      headers(1, [[trailer, "5"]], true),
    ]).toString("latin1"),
  );
}

function pseudo(host: string, id: number): [string, string][] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", `/outer-${id}`],
    [":authority", host],
  ];
}

function frames(fields: [string, string][], body: string): string {
  const opening = headers(1, fields, body === "");
  return Buffer.concat([CLIENT_HELLO, opening, ...(body === "" ? [] : [data(1, body, true)])]).toString("latin1");
}

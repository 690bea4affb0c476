/** How a client connection reads responses, and which it refuses. */

import { describe, expect, test } from "bun:test";
import type { RequestHead } from "../../../../src/proxy/codec/message.ts";
import { seededRandom } from "../../../support/random.ts";
import { asked, GET, HEAD, OK } from "./asked-server.ts";
import { feed } from "./recorder.ts";

interface Expected {
  readonly status?: number;
  readonly headers?: string[];
  readonly contentLength?: number | undefined;
  readonly version?: "1.0" | "1.1";
  readonly body?: string;
  readonly trailers?: string[];
  /** The connection can be used again. */
  readonly kept?: boolean;
}

describe("responses", () => {
  const length2 = { headers: ["content-length", "2"], contentLength: 2, body: "ok" };
  const rows: [string, RequestHead, string, Expected][] = [
    ["a length", GET, OK, length2],
    ["no reason phrase", GET, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", length2],
    ["no space either", GET, "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", length2],
    ["a reason phrase with obs-text", GET, "HTTP/1.1 200 d'acc\xf4rd\t!\r\nContent-Length: 2\r\n\r\nok", length2],
    [
      "chunks",
      GET,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nX: 1\r\n\r\n",
      { body: "ok", trailers: ["x", "1"] },
    ],
    [
      "nothing",
      GET,
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      { headers: ["content-length", "0"], contentLength: 0 },
    ],
    [
      "HEAD",
      HEAD,
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
      { headers: ["content-length", "2"], contentLength: 2 },
    ],
    ["HEAD, in chunks", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {}],
    ["HEAD, to the end", HEAD, "HTTP/1.1 200 OK\r\n\r\n", {}],
    [
      "204",
      GET,
      "HTTP/1.1 204 No Content\r\nX: content-length\r\nContent-Length: 2\r\n\r\n",
      { status: 204, headers: ["x", "content-length"] },
    ],
    [
      "304",
      GET,
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
      { status: 304, headers: ["content-length", "2"], contentLength: 2 },
    ],
    [
      "100 and 103 first",
      GET,
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`,
      length2,
    ],
    [
      "hop-by-hop fields",
      GET,
      "HTTP/1.1 200 OK\r\nConnection: x\r\nX: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
      length2,
    ],
    ["close", GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", { ...length2, kept: false }],
    ["a higher minor version is read as ours", GET, "HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok", length2],
    ["HTTP/1.0", GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", { ...length2, version: "1.0", kept: false }],
    [
      "HTTP/1.0 with keep-alive",
      GET,
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
      { ...length2, version: "1.0" },
    ],
    ["an unknown status", GET, "HTTP/1.1 799 X\r\nContent-Length: 2\r\n\r\nok", { ...length2, status: 799 }],
  ];
  test.each(rows)("%s", (_, head, input, expected) => {
    const random = seededRandom(input.length);
    for (const cut of [
      () => input.length,
      () => 1,
      () => 1 + Math.floor(random() * 20),
      () => 1 + Math.floor(random() * 9),
    ]) {
      const { connection, output, response } = asked(head);
      feed(connection, input, cut);
      const { status = 200, headers = [], contentLength, version = "1.1" } = expected;
      expect(response.head).toEqual({ status, headers, contentLength, version });
      expect(response.body).toBe(expected.body ?? "");
      expect(response.trailers).toEqual(expected.trailers);
      expect(response.ended).toBe(true);
      expect(connection.capacity).toBe(expected.kept === false ? 0 : 1);
      expect(connection.retired).toBe(expected.kept === false);
      expect(output.fate).toBe(expected.kept === false ? "ended" : "open");
    }
  });

  test("informational heads are told apart from the final one", () => {
    const { connection, response } = asked(GET);
    feed(connection, `HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 3\r\n\r\n${OK}`);
    expect(response.informational).toEqual([
      { status: 103, headers: ["link", "x"], contentLength: undefined, version: "1.1" },
    ]);
  });

  test("a body that ends with the connection", () => {
    const { connection, output, response } = asked(GET);
    feed(connection, "HTTP/1.1 200 OK\r\n\r\nhel");
    feed(connection, "lo");
    expect(response.ended).toBe(false);
    expect(connection.retired).toBe(true);
    connection.receiveEnd();
    expect(response.body).toBe("hello");
    expect(response.ended).toBe(true);
    expect(output.fate).toBe("ended");
  });

  const refused: [string, string, string][] = [
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "status_line_invalid"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n", "version_unsupported"],
    ["no status", "HTTP/1.1 OK\r\n\r\n", "status_line_invalid"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "status_line_invalid"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "status_line_invalid"],
    ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "status_line_invalid"],
    ["a control character in the phrase", "HTTP/1.1 200 O\0K\r\n\r\n", "status_line_invalid"],
    ["an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "empty_start_line"],
    ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare_cr_or_lf"],
    ["folding", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", "obsolete_line_folding"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "field_name_invalid"],
    [
      "both framings",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "content_length_with_transfer_encoding",
    ],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "content_length_repeated"],
    ["a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "content_length_invalid"],
    ["another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding_unknown"],
    [
      "chunks under HTTP/1.0",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "transfer_encoding_from_http_1_0",
    ],
    ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n", "chunk_size_invalid"],
    ["too large a head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`, "head_too_large"],
    ["informational heads without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(17), "too_many_informational_responses"],
  ];
  test.each(refused)("%s is refused", (_, input, detail) => {
    const random = seededRandom(input.length);
    for (const cut of [() => input.length, () => 1, () => 1 + Math.floor(random() * 20)]) {
      const { connection, output, response } = asked(GET);
      feed(connection, input, cut);
      expect(response.fault).toMatchObject({ kind: "protocol-error", detail });
      expect(output.fate).toBe("destroyed");
      expect(connection.retired).toBe(true);
    }
  });
});

test("a body that is broken from its first byte is known for it before its head is passed on", () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const [body, isTold] of [
    ["ZZ\r\nabc", false],
    ["2\r\nokZZ", true],
  ] as const) {
    const { connection, response } = asked(GET);
    feed(connection, head + body);
    expect(response.head !== undefined).toBe(isTold);
    expect(response.fault?.kind).toBe("protocol-error");
  }
});

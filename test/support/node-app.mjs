/**
 * The application of the data plane's tests: `node:http` in a process of its own, since it has its own reading of HTTP,
 * its own limits, and can die. Prints its port, and ends with its standard input.
 */

import { createHash } from "node:crypto";
import { createServer } from "node:http";

/** Every request that arrived: `<method> <url>`. */
const seen = [];
/** Requests whose connection ended before their response had. */
const aborted = [];

const routes = {
  "/echo": (request, response) => {
    const length = request.headers["content-length"];
    if (length !== undefined) response.setHeader("content-length", length);
    request.pipe(response);
  },
  "/digest": (request, response) => {
    const hash = createHash("sha256");
    let bytes = 0;
    request.on("data", (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    request.on("end", () => json(response, { bytes, sha256: hash.digest("hex"), trailers: request.trailers }));
  },
  "/status": (_request, response, query) => {
    response.statusCode = Number(query.get("code"));
    response.end();
  },
  /** `times` failures with `code` for each `key`, then 200. */
  "/flaky": (_request, response, query) => {
    const key = query.get("key");
    const count = (flaky.get(key) ?? 0) + 1;
    flaky.set(key, count);
    response.statusCode = count <= Number(query.get("times")) ? Number(query.get("code")) : 200;
    response.end(String(count));
  },
  "/slow": (_request, response, query) => void setTimeout(() => response.end("slow"), Number(query.get("ms"))),
  "/never": () => {},
  "/reset": (request) => request.socket.destroy(),
  "/half": (request, response, query) => {
    response.writeHead(200, query.has("length") ? { "content-length": "1000" } : {});
    response.write("half of it");
    setTimeout(() => request.socket.destroy(), 20);
  },
  /** Answers before it has read the request, and does not read the rest. */
  "/early": (_request, response) => {
    response.writeHead(413, { "content-length": "5", connection: "close" });
    response.end("large");
  },
  "/large-head": (_request, response, query) => {
    for (let field = 0; field < Number(query.get("fields")); field++) response.setHeader(`x-${field}`, "x".repeat(50));
    response.end();
  },
  /** With the date that is asked for; without, there is none. */
  "/date": (_request, response, query) => {
    response.sendDate = false;
    const date = query.get("date");
    if (date !== null) response.setHeader("date", date);
    response.end();
  },
  "/upgrade-required": (_request, response) => {
    response.writeHead(426, { connection: "upgrade", upgrade: "websocket, h2c, IRC/6.9", "content-length": 0 });
    response.end();
  },
  "/trailers": (_request, response) => {
    response.writeHead(200, { trailer: "x-checksum" });
    response.write("body");
    response.addTrailers({ "x-checksum": "abc" });
    response.end();
  },
  "/stream": (_request, response, query) => {
    let left = Number(query.get("bytes"));
    const chunk = Buffer.alloc(64 * 1024, "x");
    const push = () => {
      while (left > 0) {
        const piece = chunk.subarray(0, Math.min(left, chunk.length));
        left -= piece.length;
        if (!response.write(piece)) return void response.once("drain", push);
      }
      response.end();
    };
    push();
  },
  "/drip": (_request, response, query) => {
    let left = Number(query.get("pieces"));
    const timer = setInterval(() => {
      response.write("drop");
      if (--left > 0) return;
      clearInterval(timer);
      response.end();
    }, 10);
  },
  "/seen": (_request, response) => json(response, { seen, aborted }),
};

const flaky = new Map();

function json(response, value) {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}

function answer(request, response) {
  const url = new URL(request.url ?? "/", "http://app");
  if (url.pathname !== "/seen") seen.push(`${request.method} ${request.url}`);
  response.on("close", () => {
    if (!response.writableFinished) aborted.push(request.url);
  });
  const route = routes[url.pathname];
  if (route !== undefined) route(request, response, url.searchParams);
  else
    json(response, {
      instance: process.argv[2],
      method: request.method,
      url: request.url,
      headers: request.rawHeaders,
    });
}

const server = createServer(answer);
server.keepAliveTimeout = 60_000;
server.on("checkContinue", (request, response) => {
  const refusal = new URL(request.url ?? "/", "http://app").searchParams.get("refuse");
  if (refusal === null) response.writeContinue();
  if (refusal === null) answer(request, response);
  else response.writeHead(Number(refusal), { "content-length": "2", connection: "close" }).end("no");
});
server.on("upgrade", (request, socket) => {
  if (request.url === "/refuse") return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  // As those do that speak nothing but HTTP: to the request, as if it wished for nothing.
  if (request.url === "/ignore") {
    return void socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\nignored");
  }
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  const head = ["HTTP/1.1 101 Switching Protocols", `upgrade: ${request.headers.upgrade}`, "connection: upgrade"];
  socket.write(`${head.join("\r\n")}\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
  socket.on("error", () => {});
  socket.pipe(socket);
});
server.listen(Number(process.argv[3] ?? 0), "127.0.0.1", () => console.log(server.address().port));
// As an application should: what is under way is finished, nothing new is taken.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
process.stdin.on("close", () => process.exit(0)).resume();

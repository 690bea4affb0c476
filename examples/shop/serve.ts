/**
 * The little that the shop's services have in common: JSON over HTTP on one port, and a call to another service.
 * Nothing here knows of a mesh. The services call each other by plain names, `http://catalog/items`, and where such a
 * call goes is settled outside, by the usual `http_proxy` variable, which Bun's `fetch` honours (Node's does from
 * version 24 on, with NODE_USE_ENV_PROXY=1).
 *
 *     PORT       port to listen on, 8080 by default
 *     HOST       address to listen on; loopback by default, so that nobody gets past the proxy beside it
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface Call {
  readonly url: URL;
  /** What belongs to the request as a whole and is handed on with every call that is made for it. */
  readonly context: Readonly<Record<string, string>>;
  /** The body, parsed as JSON; undefined where there is none. */
  readonly body: unknown;
}

export type Handler = (call: Call) => Reply | Promise<Reply>;

/** By method and path, such as `GET /items`. */
export type Handlers = Readonly<Record<string, Handler>>;

/** Trace and request identity, as any instrumented service hands them on, and the shop's own mark of beta users. */
const CONTEXT_FIELDS = ["traceparent", "tracestate", "x-request-id", "x-sticky-user"];
const BODY_BYTES_MAX = 64 * 1024;

/** A response other than success from a service that was called. */
export class CallFailed extends Error {
  override readonly name = "CallFailed";
}

/** Answers requests until the process is told to end, `GET /healthz` besides what `handlers` names. */
export function serve(handlers: Handlers): void {
  const port = Number(process.env.PORT ?? 8080);
  const all: Handlers = { "GET /healthz": () => ({ body: { ok: true } }), ...handlers };
  const server = createServer((request, response) => {
    void answer(all, request).then((reply) => send(response, reply));
  });
  server.listen(port, process.env.HOST ?? "127.0.0.1");
  process.once("SIGTERM", () => {
    server.close();
    server.closeIdleConnections();
  });
}

/** Calls another service and returns its JSON. Rejects with `CallFailed`, which carries what it said. */
export async function call(
  method: string,
  url: string,
  context: Readonly<Record<string, string>>,
  body?: unknown,
): Promise<unknown> {
  const headers = body === undefined ? context : { ...context, "content-type": "application/json" };
  const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new CallFailed(`${method} ${url}: ${response.status} ${text.trim()}`);
  return JSON.parse(text);
}

async function answer(handlers: Handlers, request: IncomingMessage): Promise<Reply> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const handler = handlers[`${request.method} ${url.pathname}`];
  if (handler === undefined) return { status: 404, body: { error: `nothing at ${request.method} ${url.pathname}` } };
  let body: unknown;
  try {
    body = await readBody(request);
  } catch {
    return { status: 400, body: { error: "the body must be JSON, and small" } };
  }
  try {
    return await handler({ url, context: contextOf(request), body });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { status: error instanceof CallFailed ? 502 : 500, body: { error: message } };
  }
}

function contextOf(request: IncomingMessage): Record<string, string> {
  const context: Record<string, string> = {};
  for (const name of CONTEXT_FIELDS) {
    const value = request.headers[name];
    if (typeof value === "string") context[name] = value;
  }
  return context;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new Error("the request body is too large");
  }
  return text === "" ? undefined : JSON.parse(text);
}

function send(response: ServerResponse, { status = 200, headers = {}, body }: Reply): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

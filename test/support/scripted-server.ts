/** An HTTP/1.1 server that answers from a script, request by request, with bytes or by closing. */

import type { Socket } from "bun";

interface ReceivedRequest {
  readonly head: string;
  /** What followed the head so far, framing included. */
  body: string;
}

export interface ScriptedServer {
  readonly port: number;
  readonly requests: ReceivedRequest[];
  closeConnections(): void;
  close(): void;
}

interface ConnectionState {
  /** The request that is being read; undefined between requests. */
  request: ReceivedRequest | undefined;
  /** What its answer is. */
  script: string;
  /** Bytes of a head that has not ended. */
  text: string;
}

/**
 * `answers`: one for each request in turn, the last for all that follow: bytes to send, `close` or `nothing`. A 2xx
 * waits for the whole request; everything else is given as soon as its head is there.
 */
export function scriptedServer(...answers: readonly string[]): ScriptedServer {
  const requests: ReceivedRequest[] = [];
  const sockets = new Set<Socket<ConnectionState>>();
  const server = Bun.listen<ConnectionState>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { request: undefined, script: "", text: "" };
        sockets.add(socket);
      },
      data(socket, chunk) {
        const state = socket.data;
        const text = chunk.toString("latin1");
        if (state.request !== undefined) state.request.body += text;
        else if (!takeHead(state, text)) return;
        else {
          state.script = answers[Math.min(requests.length, answers.length - 1)] ?? "nothing";
          if (state.request !== undefined) requests.push(state.request);
          if (!isSuccess(state.script)) answer(socket);
        }
        if (state.request === undefined || !isComplete(state.request)) return;
        state.request = undefined;
        if (isSuccess(state.script)) answer(socket);
      },
      close: (socket) => void sockets.delete(socket),
      error() {},
    },
  });
  return {
    port: server.port,
    requests,
    closeConnections: () => {
      for (const socket of sockets) socket.terminate();
    },
    close: () => server.stop(true),
  };
}

const isSuccess = (script: string): boolean => script.startsWith("HTTP/1.1 2");

/** True once a head has come to its end. */
function takeHead(state: ConnectionState, text: string): boolean {
  state.text += text;
  const end = state.text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  state.request = { head: state.text.slice(0, end), body: state.text.slice(end + 4) };
  state.text = "";
  return true;
}

function answer(socket: Socket<ConnectionState>): void {
  const { script } = socket.data;
  if (script === "close") socket.terminate();
  else if (script !== "nothing") socket.write(script);
}

function isComplete({ head, body }: ReceivedRequest): boolean {
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  if (length !== undefined) return body.length >= Number(length);
  return !/\r\ntransfer-encoding: chunked/i.test(head) || /(?:^|\r\n)0\r\n(?:.+\r\n)*\r\n$/.test(body);
}

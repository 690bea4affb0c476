import type { SocketHandler, TCPSocketListener } from "bun";
import { Http2ClientConnection } from "../../src/proxy/codec/http2/client-connection.ts";
import { Http2ServerConnection } from "../../src/proxy/codec/http2/server-connection.ts";
import type { AcceptStream, ConnectionInput } from "../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/proxy/limits.ts";
import { SocketOutput } from "./socket-output.ts";

interface Peer<C extends ConnectionInput> {
  readonly output: SocketOutput;
  readonly connection: C;
}

function handler<C extends ConnectionInput>(make: (output: SocketOutput) => C): SocketHandler<Peer<C>> {
  return {
    open: (socket) => {
      const output = new SocketOutput(socket);
      socket.data = { output, connection: make(output) };
    },
    data: (socket, chunk) => socket.data.connection.receive(chunk),
    drain: (socket) => socket.data.output.onDrain(() => socket.data.connection.drained()),
    end: (socket) => socket.data.connection.receiveEnd(),
    close: (socket) => socket.data.connection.receiveClose(),
    error: () => {},
  };
}

/**
 * A cleartext HTTP/2 server on an ephemeral port of the loopback address: the codec, and just enough socket.
 * @param onConnection told of each connection.
 */
export function listenHttp2(
  accept: AcceptStream,
  limits: Limits = DEFAULT_LIMITS,
  onConnection: () => void = () => {},
): TCPSocketListener<Peer<Http2ServerConnection>> {
  const make = (output: SocketOutput): Http2ServerConnection => {
    onConnection();
    return new Http2ServerConnection({ output, limits, accept, scheme: "http" });
  };
  return Bun.listen<Peer<Http2ServerConnection>>({ hostname: "127.0.0.1", port: 0, socket: handler(make) });
}

/** Connects the codec's client side to a cleartext HTTP/2 server. */
export async function connectHttp2(
  port: number,
  limits: Limits = DEFAULT_LIMITS,
): Promise<Peer<Http2ClientConnection>> {
  const make = (output: SocketOutput) => new Http2ClientConnection({ output, limits });
  const socket = await Bun.connect<Peer<Http2ClientConnection>>({ hostname: "127.0.0.1", port, socket: handler(make) });
  return socket.data;
}

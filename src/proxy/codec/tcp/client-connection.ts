import type { Limits } from "../../limits.ts";
import type { ClientConnection, ClientStream, ConnectionOutput, ResponseHead, StreamListener } from "../message.ts";
import { TcpConnection } from "./connection.ts";

/** The application's TCP port answers no CONNECT: that the connection stands is the answer. */
const ESTABLISHED: ResponseHead = { status: 200, headers: [], contentLength: undefined, version: "1.1" };

/** A connection to an application that speaks any protocol over TCP: one CONNECT, then never used again. */
export class TcpClientConnection extends TcpConnection<ResponseHead> implements ClientConnection, ClientStream {
  readonly #output: ConnectionOutput;
  #listener: StreamListener<ResponseHead> | undefined;
  #closed = false;

  constructor(options: { readonly output: ConnectionOutput; readonly limits: Limits }) {
    super(options.output, options.limits, () => {
      this.#closed = true;
    });
    this.#output = options.output;
  }

  get capacity(): number {
    return this.retired ? 0 : 1;
  }

  get openStreams(): number {
    return this.#listener !== undefined && !this.tunnel.over ? 1 : 0;
  }

  get retired(): boolean {
    return this.#listener !== undefined || this.#closed;
  }

  open(listener: StreamListener<ResponseHead>): ClientStream {
    if (this.retired) throw new Error("a TCP connection carries one stream");
    this.#listener = listener;
    this.tunnel.listen(listener);
    return this;
  }

  override receiveClose(): void {
    this.#closed = true;
    super.receiveClose();
  }

  drain(): void {
    if (this.#listener !== undefined) return;
    this.#closed = true;
    this.#output.end();
  }

  sendHead(): void {
    this.#listener?.onHead(ESTABLISHED, false);
    this.tunnel.open();
  }
}

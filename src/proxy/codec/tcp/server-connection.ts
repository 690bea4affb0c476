import type { Limits } from "../../limits.ts";
import type {
  AcceptStream,
  ConnectionOutput,
  RequestHead,
  ResponseHead,
  ServerConnection,
  ServerStream,
} from "../message.ts";
import { TcpConnection } from "./connection.ts";

export interface TcpServerOptions {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  readonly accept: AcceptStream;
  /** The service that the connection is for, as an authority. */
  readonly authority: string;
  /** What to say to the client when the connection leads nowhere; undefined: TCP has no words, it is reset. */
  readonly refusal?: ((head: ResponseHead) => Uint8Array) | undefined;
}

/**
 * A connection of somebody who speaks any protocol over TCP, as the one CONNECT that it stands for. The request exists
 * from the first moment, without a byte of the client: in many protocols the server speaks first.
 */
export class TcpServerConnection extends TcpConnection<RequestHead> implements ServerConnection, ServerStream {
  readonly #refusal: TcpServerOptions["refusal"];
  #responded = false;

  constructor(options: TcpServerOptions) {
    super(options.output, options.limits, () => {});
    this.#refusal = options.refusal;
    const listener = options.accept(this);
    this.tunnel.listen(listener);
    listener.onHead(
      {
        method: "CONNECT",
        path: "",
        authority: options.authority,
        scheme: "http",
        absoluteForm: false,
        upgrade: undefined,
        expectContinue: false,
        headers: [],
        contentLength: undefined,
        version: "1.1",
      },
      false,
    );
  }

  get openStreams(): number {
    return this.tunnel.over ? 0 : 1;
  }

  /** There is no way to ask a TCP peer to leave: the connection goes on until it ends or the drain timeout cuts it. */
  drain(): void {}

  sendHead(head: ResponseHead): void {
    if (this.#responded) return;
    this.#responded = true;
    if (head.status < 300) this.tunnel.open();
    else if (this.#refusal === undefined) this.tunnel.reset();
    else this.tunnel.refuse(this.#refusal(head));
  }
}

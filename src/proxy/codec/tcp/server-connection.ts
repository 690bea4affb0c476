import type { Limits } from "../../limits.ts";
import type {
  AcceptStream,
  ConnectionOutput,
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerConnection,
  ServerStream,
} from "../message.ts";
import { TcpTunnel } from "./tunnel.ts";

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
export class TcpServerConnection implements ServerConnection, ServerStream {
  readonly #tunnel: TcpTunnel<RequestHead>;
  readonly #refusal: TcpServerOptions["refusal"];
  #responded = false;

  constructor(options: TcpServerOptions) {
    this.#refusal = options.refusal;
    this.#tunnel = new TcpTunnel(options.output, options.limits, () => {});
    const listener = options.accept(this);
    this.#tunnel.listen(listener);
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
    return this.#tunnel.over ? 0 : 1;
  }

  receive(chunk: Uint8Array): void {
    this.#tunnel.receive(chunk);
  }

  receiveEnd(): void {
    this.#tunnel.receiveEnd();
  }

  receiveClose(): void {
    this.#tunnel.receiveClose();
  }

  drained(): void {
    this.#tunnel.drained();
  }

  /** There is no way to ask a TCP peer to leave: the connection goes on until it ends or the drain timeout cuts it. */
  drain(): void {}

  sendInformational(): void {}

  sendHead(head: ResponseHead): void {
    if (this.#responded) return;
    this.#responded = true;
    if (head.status < 300) this.#tunnel.open();
    else if (this.#refusal === undefined) this.#tunnel.reset();
    else this.#tunnel.refuse(this.#refusal(head));
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.#tunnel.send(chunk, end);
  }

  sendTrailers(_trailers: HeaderList): void {
    this.#tunnel.send(new Uint8Array(0), true);
  }

  reset(): void {
    this.#tunnel.reset();
  }

  pause(): void {
    this.#tunnel.setPaused(true);
  }

  resume(): void {
    this.#tunnel.setPaused(false);
  }
}

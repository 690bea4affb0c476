import type { Limits } from "../../limits.ts";
import type {
  ClientConnection,
  ClientStream,
  ConnectionOutput,
  HeaderList,
  ResponseHead,
  StreamListener,
} from "../message.ts";
import { TcpTunnel } from "./tunnel.ts";

/** The application's TCP port answers no CONNECT: that the connection stands is the answer. */
const ESTABLISHED: ResponseHead = { status: 200, headers: [], contentLength: undefined, version: "1.1" };

/** A connection to an application that speaks any protocol over TCP: one CONNECT, then never used again. */
export class TcpClientConnection implements ClientConnection, ClientStream {
  readonly #output: ConnectionOutput;
  readonly #tunnel: TcpTunnel<ResponseHead>;
  #listener: StreamListener<ResponseHead> | undefined;
  #closed = false;

  constructor(options: { readonly output: ConnectionOutput; readonly limits: Limits }) {
    this.#output = options.output;
    this.#tunnel = new TcpTunnel(options.output, options.limits, () => {
      this.#closed = true;
    });
  }

  get capacity(): number {
    return this.retired ? 0 : 1;
  }

  get openStreams(): number {
    return this.#listener !== undefined && !this.#tunnel.over ? 1 : 0;
  }

  get retired(): boolean {
    return this.#listener !== undefined || this.#closed;
  }

  open(listener: StreamListener<ResponseHead>): ClientStream {
    if (this.retired) throw new Error("a TCP connection carries one stream");
    this.#listener = listener;
    this.#tunnel.listen(listener);
    return this;
  }

  receive(chunk: Uint8Array): void {
    this.#tunnel.receive(chunk);
  }

  receiveEnd(): void {
    this.#tunnel.receiveEnd();
  }

  receiveClose(): void {
    this.#closed = true;
    this.#tunnel.receiveClose();
  }

  drained(): void {
    this.#tunnel.drained();
  }

  drain(): void {
    if (this.#listener !== undefined) return;
    this.#closed = true;
    this.#output.end();
  }

  sendInformational(): void {}

  sendHead(): void {
    this.#listener?.onHead(ESTABLISHED, false);
    this.#tunnel.open();
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

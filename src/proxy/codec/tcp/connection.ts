import type { Limits } from "../../limits.ts";
import type { ConnectionOutput, HeaderList } from "../message.ts";
import { TcpTunnel } from "./tunnel.ts";

/** A TCP connection is its one stream: what either is told or sends goes to the tunnel, whichever side opened it. */
export abstract class TcpConnection<H> {
  protected readonly tunnel: TcpTunnel<H>;

  /** @param onOver both directions have ended, or the tunnel was torn down. */
  protected constructor(output: ConnectionOutput, limits: Limits, onOver: () => void) {
    this.tunnel = new TcpTunnel(output, limits, onOver);
  }

  // From the socket

  receive(chunk: Uint8Array): void {
    this.tunnel.receive(chunk);
  }

  receiveEnd(): void {
    this.tunnel.receiveEnd();
  }

  receiveClose(): void {
    this.tunnel.receiveClose();
  }

  drained(): void {
    this.tunnel.drained();
  }

  // From the stream

  /** TCP has no words for it. */
  sendInformational(): void {}

  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.tunnel.send(chunk, end);
  }

  /** Only the end of them can be said. */
  sendTrailers(_trailers: HeaderList): void {
    this.tunnel.send(new Uint8Array(0), true);
  }

  reset(): void {
    this.tunnel.reset();
  }

  pause(): void {
    this.tunnel.setPaused(true);
  }

  resume(): void {
    this.tunnel.setPaused(false);
  }
}

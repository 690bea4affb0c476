import type { Limits } from "../../limits.ts";
import type {
  ClientStream,
  ConnectionOutput,
  RequestHead,
  ResponseHead,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { FAULTS } from "./fault.ts";
import { announcesTrailers, type Framing, hasField, requestHeadText } from "./head-writer.ts";
import { afterSending } from "./send-state.ts";
import { SendingStream } from "./sending-stream.ts";

/** What a stream needs of its connection. */
export interface ClientStreamOwner {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  requestEnded(stream: Http1ClientStream): void;
  /** The stream is given up; `fault` reaches its listener, where there is one to tell. */
  abandon(stream: Http1ClientStream, fault: StreamFault | undefined): void;
  setPaused(stream: Http1ClientStream, paused: boolean): void;
}

/** Our side of one exchange on an HTTP/1.1 connection: the request. Ignores every call once it is over. */
export class Http1ClientStream extends SendingStream implements ClientStream {
  readonly listener: StreamListener<ResponseHead>;
  /** The request as sent; undefined before its head. */
  request: RequestHead | undefined;

  readonly #owner: ClientStreamOwner;
  /** `asked`: the connection may become a tunnel, nothing may be sent before the response decides. */
  #tunnel: "none" | "asked" | "open" = "none";

  constructor(owner: ClientStreamOwner, listener: StreamListener<ResponseHead>) {
    super(owner.output, owner.limits);
    this.#owner = owner;
    this.listener = listener;
  }

  get requestDone(): boolean {
    return this.state === "done";
  }

  /** Requests have no 1xx: there is nothing to send. */
  sendInformational(_head: RequestHead): void {
    throw new Error("a request has no informational heads");
  }

  sendHead(head: RequestHead, end: boolean): void {
    if (this.over) return;
    this.state = afterSending(this.state, end ? "head with end" : "head");
    if (end && (head.contentLength ?? 0) > 0) {
      this.abandon(FAULTS.lengthMismatch);
      return;
    }
    const framing = requestFraming(head, end);
    this.request = head;
    this.body.begin(framing, head.contentLength ?? 0);
    if (!end && asksForTunnel(head) && (head.contentLength ?? 0) === 0 && framing !== "chunked") this.#tunnel = "asked";
    this.output.write(requestHeadText(head, framing));
    if (end) this.#owner.requestEnded(this);
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.over || (this.state === "done" && this.#tunnel === "none")) return true;
    this.state = afterSending(this.state, end ? "data with end" : "data");
    if (this.#tunnel === "asked" && chunk.byteLength > 0) {
      this.abandon(FAULTS.earlyTunnelData);
      return true;
    }
    return this.write(chunk, end);
  }

  /** The response opened the tunnel: what is sent from here on goes as it is. */
  openTunnel(): void {
    this.#tunnel = "open";
    this.body.begin("tunnel", 0);
  }

  /** The response declined the tunnel: with it, a request that had nothing else to send is over. */
  declineTunnel(): void {
    if (this.#tunnel !== "asked") return;
    this.#tunnel = "none";
    this.state = "done";
  }

  /** From here on, nothing is sent. */
  detach(): void {
    this.over = true;
  }

  protected override sent(): void {
    this.#owner.requestEnded(this);
  }

  protected override abandon(fault: StreamFault | undefined): void {
    this.#owner.abandon(this, fault);
  }

  protected override setPaused(paused: boolean): void {
    this.#owner.setPaused(this, paused);
  }

  protected override tellDrained(): void {
    this.listener.onDrain();
  }
}

/** True for CONNECT and for a request with `Upgrade` (RFC 9110 §7.8, §9.3.6). */
function asksForTunnel(head: RequestHead): boolean {
  return head.upgrade !== undefined || head.method === "CONNECT";
}

/** RFC 9112 §6.3, seen from the sender; a request is never delimited by the connection's end. */
function requestFraming(head: RequestHead, end: boolean): Framing {
  if (head.method === "CONNECT") return "none";
  if (end || (head.upgrade !== undefined && head.contentLength === 0)) {
    return announcesEmptiness(head) ? "length" : "none";
  }
  return head.contentLength === undefined || announcesTrailers(head) ? "chunked" : "length";
}

/** RFC 9110 §8.6: where content is to be expected, its absence is said; elsewhere only if the client said so itself. */
function announcesEmptiness(head: RequestHead): boolean {
  const { method } = head;
  return method === "POST" || method === "PUT" || method === "PATCH" || hasField(head.headers, "content-length");
}

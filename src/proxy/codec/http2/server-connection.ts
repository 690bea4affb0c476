import type {
  AcceptStream,
  HeaderList,
  PeerProbe,
  RequestHead,
  ResponseHead,
  ServerConnection,
  StreamFault,
} from "../message.ts";
import { Http2Connection, type Http2Options } from "./connection.ts";
import {
  ENABLE_CONNECT_PROTOCOL,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_HEADER_LIST_SIZE,
} from "./frame/settings.ts";
import { readRequestHead } from "./request-head.ts";
import { writeResponseHead } from "./response-head.ts";
import type { Role } from "./role.ts";

export interface Http2ServerOptions extends Http2Options {
  /** Called for each well-formed request. */
  readonly accept: AcceptStream;
  /**
   * A request was refused that could not be read, and so never accepted, or the connection for what came in place of
   * one. `status` is what was answered; undefined where the stream was reset, or the connection ended.
   */
  readonly unreadable?: (fault: StreamFault) => void;
  /** The time for `date` in what is answered to such a request; absent: there is no clock. */
  readonly httpDate?: () => string;
  /** Scheme of the connection, for requests that do not name one (CONNECT). */
  readonly scheme: string;
}

/** An HTTP/2 connection on which requests come in. It reads the client's preface itself. */
export class Http2ServerConnection implements ServerConnection {
  readonly #machine: Http2Connection<RequestHead, ResponseHead>;

  constructor(options: Http2ServerOptions) {
    this.#machine = new Http2Connection(options, serverRole(options));
  }

  get probe(): PeerProbe {
    return this.#machine;
  }

  get openStreams(): number {
    return this.#machine.streams.size;
  }

  receive(chunk: Uint8Array): void {
    this.#machine.receive(chunk);
  }

  receiveEnd(): void {
    this.#machine.receiveEnd();
  }

  receiveClose(): void {
    this.#machine.receiveClose();
  }

  drained(): void {
    this.#machine.drained();
  }

  /**
   * Asks the client to stop and goes on serving what it had sent before it heard. Ends when the client has answered and
   * its streams are done. Called again, it takes no more streams from now on: for a client that does not answer in time.
   */
  drain(): void {
    this.#machine.drain();
  }
}

function serverRole({
  limits,
  accept,
  scheme,
  unreadable,
  httpDate,
}: Http2ServerOptions): Role<RequestHead, ResponseHead> {
  return {
    isServer: true,
    settings: [
      [MAX_CONCURRENT_STREAMS, limits.concurrentStreamsMax],
      [INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
      [MAX_HEADER_LIST_SIZE, limits.headBytesMax],
      [ENABLE_CONNECT_PROTOCOL, 1],
    ],
    readHead: (fields, end) => readRequestHead(fields, end, limits, scheme),
    bodyBytes: (head) => head.contentLength,
    isInformational: () => false,
    accept: (stream, head) => {
      stream.isTunnel = head.upgrade !== undefined;
      return accept(stream);
    },
    writeHead: (encoder, head, stream) => writeResponseHead(encoder, head, stream.isTunnel),
    admit: () => true,
    refusal(fault) {
      const answer = refusal(fault, httpDate?.());
      unreadable?.(answer === undefined ? { kind: fault.kind, detail: fault.detail } : fault);
      return answer;
    },
    onUnheardFault: (fault) => unreadable?.(fault),
    onPeerSettings: () => {},
    // The client opens no more streams, and closes when it has what it wants.
    onGoaway: () => {},
  };
}

/** A malformed request is reset (RFC 9113 §8.1.1); one that is merely too large, or asks too much, is answered. */
function refusal(fault: StreamFault, date: string | undefined): HeaderList | undefined {
  if (fault.status === undefined || fault.status === 400) return undefined;
  const fields = [":status", fault.status.toString(), "server", "heddle", "content-length", "0"];
  return date === undefined ? fields : [...fields, "date", date];
}

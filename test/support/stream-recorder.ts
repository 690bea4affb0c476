import type {
  AcceptStream,
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamFault,
  StreamListener,
} from "../../src/proxy/codec/message.ts";

/** Listens to a stream and writes down what it hears, one short line per call. */
export class StreamRecorder<H extends RequestHead | ResponseHead> implements StreamListener<H> {
  readonly events: string[] = [];
  head: H | undefined;
  trailers: HeaderList | undefined;
  fault: StreamFault | undefined;
  ended = false;
  drains = 0;
  readonly #body: Uint8Array[] = [];

  get body(): Buffer {
    return Buffer.concat(this.#body);
  }

  onHead(head: H, end: boolean): void {
    this.head = head;
    this.#end(end);
    const what = "method" in head ? `${head.method} ${head.path}` : `${head.status}`;
    this.events.push(`head ${what}${end ? " end" : ""}`);
  }

  onInformational(head: H): void {
    this.events.push(`informational ${"status" in head ? head.status : ""}`);
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.#body.push(chunk);
    this.#end(end);
    this.events.push(`data ${chunk.length}${end ? " end" : ""}`);
  }

  onTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.#end(true);
    this.events.push(`trailers ${trailers.join(" ")}`);
  }

  onDrain(): void {
    this.drains++;
    this.events.push("drain");
  }

  onFault(fault: StreamFault): void {
    this.fault = fault;
    this.events.push(`fault ${fault.kind} ${fault.detail}`);
  }

  #end(end: boolean): void {
    if (this.ended || this.fault !== undefined) throw new Error("something follows the end of a stream");
    this.ended = end;
  }
}

export interface AcceptedStream {
  readonly stream: ServerStream;
  readonly recorder: StreamRecorder<RequestHead>;
}

/** Accepts every request, keeps its stream, and leaves the answer to the test. */
export function recordStreams(): { readonly accepted: AcceptedStream[]; readonly accept: AcceptStream } {
  const accepted: AcceptedStream[] = [];
  return {
    accepted,
    accept: (stream) => {
      const recorder = new StreamRecorder<RequestHead>();
      accepted.push({ stream, recorder });
      return recorder;
    },
  };
}

export function requestHead(changes: Partial<RequestHead> = {}): RequestHead {
  return {
    method: "GET",
    path: "/",
    authority: "orders.shop",
    scheme: "http",
    absoluteForm: false,
    upgrade: undefined,
    expectContinue: false,
    headers: [],
    contentLength: undefined,
    version: "2",
    ...changes,
  };
}

export function responseHead(changes: Partial<ResponseHead> = {}): ResponseHead {
  return { status: 200, headers: [], contentLength: undefined, version: "2", ...changes };
}

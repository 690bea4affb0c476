import { expect, test } from "bun:test";
import fc from "fast-check";
import { Http2ClientConnection } from "../../../../src/proxy/codec/http2/client-connection.ts";
import { Http2ServerConnection } from "../../../../src/proxy/codec/http2/server-connection.ts";
import type {
  ConnectionInput,
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamListener,
} from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../../src/proxy/limits.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";
import { requestHead, responseHead, StreamRecorder } from "../../../support/stream-recorder.ts";

/** Client and server in one room: whatever order bytes, pauses and writes come in, all that is sent arrives. */

interface Message {
  readonly headers: HeaderList;
  readonly pieces: number[];
  readonly trailers: HeaderList | undefined;
}

interface Exchange {
  readonly request: Message;
  readonly response: Message;
}

interface Sender {
  sendData(chunk: Uint8Array, end: boolean): boolean;
  sendTrailers(trailers: HeaderList): void;
}

const HIGH_WATER = 3000;
const STREAM_WINDOW = 5000;

/** Deterministic bytes, so that a mix-up between streams or an overlap shows. */
function content(seed: number, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7 + (index >> 8)) & 0xff));
}

function wholeBody(seed: number, message: Message): Buffer {
  return Buffer.concat(message.pieces.map((length, index) => content(seed + index, length)));
}

/** Sends a message piece by piece, and waits whenever it is told to. */
class Producer {
  readonly #message: Message;
  readonly #seed: number;
  #next = 0;
  #waits = false;
  done = false;

  constructor(message: Message, seed: number) {
    this.#message = message;
    this.#seed = seed;
  }

  get endsWithHead(): boolean {
    return this.#message.pieces.length === 0 && this.#message.trailers === undefined;
  }

  step(sender: Sender): void {
    const { pieces, trailers } = this.#message;
    if (this.done || this.#waits) return;
    const length = pieces[this.#next];
    if (length === undefined) {
      if (trailers !== undefined) sender.sendTrailers(trailers);
      else if (!this.endsWithHead) sender.sendData(new Uint8Array(0), true);
      this.done = true;
      return;
    }
    const end = this.#next === pieces.length - 1 && trailers === undefined && length % 2 === 0;
    this.#waits = !sender.sendData(content(this.#seed + this.#next, length), end);
    this.#next++;
    this.done = end;
  }

  go(): void {
    this.#waits = false;
  }
}

/** A recorder that lets its producer go on, and pauses its stream now and then. */
class Party<H extends RequestHead | ResponseHead> extends StreamRecorder<H> {
  producer: Producer | undefined;

  override onDrain(): void {
    super.onDrain();
    this.producer?.go();
  }
}

interface Wire {
  readonly from: MemoryOutput;
  readonly to: ConnectionInput;
  readonly source: ConnectionInput;
}

class Room {
  readonly toServer = new MemoryOutput();
  readonly toClient = new MemoryOutput();
  readonly client: Http2ClientConnection;
  readonly server: Http2ServerConnection;
  readonly served: { stream: ServerStream; party: Party<RequestHead>; exchange: Exchange | undefined }[] = [];
  readonly #exchanges: readonly Exchange[];

  constructor(limits: Limits, exchanges: readonly Exchange[]) {
    this.#exchanges = exchanges;
    this.client = new Http2ClientConnection({ output: this.toServer, limits, now: () => 0 });
    this.server = new Http2ServerConnection({
      output: this.toClient,
      limits,
      scheme: "http",
      now: () => 0,
      accept: (stream) => this.#accept(stream),
    });
  }

  /** `fraction` of what is queued one way. */
  carry(toServer: boolean, fraction: number): boolean {
    const wire: Wire = toServer
      ? { from: this.toServer, to: this.server, source: this.client }
      : { from: this.toClient, to: this.client, source: this.server };
    const queued = wire.from.queuedBytes;
    if (queued === 0 || (toServer && this.toClient.readingPaused)) return false;
    wire.to.receive(wire.from.take(Math.max(1, Math.ceil(queued * fraction))));
    if (wire.from.queuedBytes === 0) wire.source.drained();
    return true;
  }

  #accept(stream: ServerStream): StreamListener<RequestHead> {
    const party = new Party<RequestHead>();
    const entry = { stream, party, exchange: undefined as Exchange | undefined };
    this.served.push(entry);
    const onHead = party.onHead.bind(party);
    party.onHead = (head, end) => {
      onHead(head, end);
      const serial = Number(head.path.slice(1));
      const exchange = this.#exchanges[serial];
      if (exchange === undefined) throw new Error(`no exchange ${head.path}`);
      entry.exchange = exchange;
      party.producer = new Producer(exchange.response, 1000 * serial + 500);
      stream.sendHead(responseHead({ headers: exchange.response.headers }), party.producer.endsWithHead);
    };
    return party;
  }
}

const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  writeHighWaterBytes: HIGH_WATER,
  streamWindowBytes: STREAM_WINDOW,
  connectionWindowBytes: 65_535,
  concurrentStreamsMax: 5,
};

const headerList = fc
  .array(
    fc.tuple(
      fc.constantFrom("x-a", "x-b", "cookie", "authorization", "accept", "x-request-id"),
      fc.string({ unit: fc.constantFrom("a", "b", "é", "-"), minLength: 1, maxLength: 40 }),
    ),
    { maxLength: 6 },
  )
  // Two cookies would arrive as one.
  .map((fields) =>
    fields.filter(([name], at) => name !== "cookie" || fields.findIndex(([n]) => n === name) === at).flat(),
  );

const message: fc.Arbitrary<Message> = fc.record({
  headers: headerList,
  pieces: fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1000, max: 40_000 })), { maxLength: 4 }),
  trailers: fc.option(fc.constant(["x-checksum", "42"]), { nil: undefined }),
});

const plan = fc.record({
  exchanges: fc.array(fc.record({ request: message, response: message }), { minLength: 1, maxLength: 12 }),
  moves: fc.array(
    fc.record({
      what: fc.integer({ min: 0, max: 5 }),
      which: fc.nat(11),
      fraction: fc.double({ min: 0.01, max: 1, noNaN: true }),
    }),
    { minLength: 1, maxLength: 60 },
  ),
});

test("all that is sent arrives, under any interleaving, split, pause and back-pressure", () => {
  fc.assert(
    fc.property(plan, ({ exchanges, moves }) => run(exchanges, moves)),
    { numRuns: 60 },
  );
});

function run(exchanges: readonly Exchange[], moves: { what: number; which: number; fraction: number }[]): void {
  const room = new Room(LIMITS, exchanges);
  const requests: { sender: ReturnType<Http2ClientConnection["open"]>; party: Party<ResponseHead>; serial: number }[] =
    [];
  let next = 0;
  const open = (): void => {
    const exchange = exchanges[next];
    if (exchange === undefined || room.client.capacity < 1) return;
    const party = new Party<ResponseHead>();
    party.producer = new Producer(exchange.request, 1000 * next);
    const sender = room.client.open(party);
    sender.sendHead(
      requestHead({ method: "POST", path: `/${next}`, headers: exchange.request.headers }),
      party.producer.endsWithHead,
    );
    requests.push({ sender, party, serial: next });
    next++;
  };
  const step = (): void => {
    for (const { sender, party } of requests) party.producer?.step(sender);
    for (const { stream, party } of room.served) party.producer?.step(stream);
  };
  const move = ({ what, which, fraction }: { what: number; which: number; fraction: number }): void => {
    const served = room.served[which];
    if (what === 0) open();
    else if (what === 1) room.carry(true, fraction);
    else if (what === 2) room.carry(false, fraction);
    else if (what === 3) step();
    else if (what === 4) served?.stream.pause();
    else served?.stream.resume();
    checkBounds(room);
  };
  // The server's peers are not known before its SETTINGS have come.
  room.carry(true, 1);
  room.carry(false, 1);
  for (let round = 0; round < 20; round++) for (const each of moves) move(each);
  finish(room, () => {
    open();
    step();
  });
  expect(requests).toHaveLength(exchanges.length);
  for (const { party, serial } of requests) checkMessage(party, exchanges[serial]?.response, 1000 * serial + 500);
  for (const { party } of room.served) {
    const serial = Number(party.head?.path.slice(1));
    checkMessage(party, exchanges[serial]?.request, 1000 * serial);
  }
  expect(room.client.openStreams + room.server.openStreams).toBe(0);
}

/** Resumes everything and carries until nothing moves any more. */
function finish(room: Room, advance: () => void): void {
  for (let idle = 0; idle < 3; ) {
    for (const { stream } of room.served) stream.resume();
    advance();
    const moved = [room.carry(true, 1), room.carry(false, 1)].includes(true);
    idle = moved ? 0 : idle + 1;
    checkBounds(room);
  }
}

/** A queue holds a high-water mark, one piece beyond it, and heads and control frames: never what a window allows. */
function checkBounds(room: Room): void {
  expect(room.toServer.queuedBytes).toBeLessThan(HIGH_WATER + 16_384 + 8_000);
  expect(room.toClient.queuedBytes).toBeLessThan(HIGH_WATER + 16_384 + 8_000);
  expect(room.toServer.ended || room.toClient.ended).toBe(false);
}

function checkMessage<H extends RequestHead | ResponseHead>(
  party: StreamRecorder<H>,
  sent: Message | undefined,
  seed: number,
): void {
  if (sent === undefined) throw new Error("a message from nowhere");
  expect(party.fault).toBeUndefined();
  expect(party.ended).toBe(true);
  expect(party.head?.headers).toEqual(sent.headers);
  expect(party.body.equals(wholeBody(seed, sent))).toBe(true);
  expect(party.trailers).toEqual(sent.trailers);
}

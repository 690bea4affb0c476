import type { HeaderList, StreamFault } from "../message.ts";
import { INFORMATIONAL_MAX, Nuisance, RETAINED_SHARE } from "./bounds.ts";
import { Closed } from "./closed-streams.ts";
import type { Http2Connection } from "./connection.ts";
import {
  ConnectionError,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  faultOfReset,
  NO_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  STREAM_CLOSED,
} from "./error.ts";
import { FAULTS } from "./fault.ts";
import { FieldCollector } from "./field-collector.ts";
import { readData } from "./frame/data.ts";
import { END_HEADERS, END_STREAM, type FrameView, has, requireStream } from "./frame/frame.ts";
import { readHeaders } from "./frame/headers.ts";
import { readPriority } from "./frame/priority.ts";
import { readRstStream, writeRstStream } from "./frame/rst-stream.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { MessageEvent, MessageState, nextMessageState } from "./message-state.ts";
import { type Head, isFault } from "./role.ts";
import type { Http2Stream } from "./stream.ts";

/**
 * Field blocks are read up to this multiple of the head's bound: between the two a request is answered with 431, and
 * only above it the connection must end.
 */
const BLOCK_HEADROOM = 2;

/** Turns the frames of streams into what their listeners hear (RFC 9113 §5.1, §8.1). */
export class StreamReceiver<In extends Head, Out extends Head> {
  readonly #connection: Http2Connection<In, Out>;
  readonly #decoder = new HpackDecoder();
  readonly #fields: FieldCollector;
  readonly #block: HeaderBlock;
  /** The block's stream depends on itself: an error that RFC 7540 §5.3.1 knows, and RFC 9113 only has no name for. */
  #selfDependent = false;

  constructor(connection: Http2Connection<In, Out>) {
    this.#connection = connection;
    this.#fields = new FieldCollector(connection.limits);
    this.#block = new HeaderBlock(connection.flood, BLOCK_HEADROOM * connection.limits.headBytesMax);
  }

  /** The stream whose field block is open, else 0: nothing but its CONTINUATION may come then (RFC 9113 §4.3). */
  get openBlock(): number {
    return this.#block.streamId;
  }

  /** A HEADERS frame. */
  headers(frame: FrameView): void {
    const empty = frame.start === frame.end;
    const dependency = readHeaders(frame);
    const endStream = has(frame, END_STREAM);
    if (empty) this.#connection.flood.spend(Nuisance.EmptyFrame);
    this.#selfDependent = dependency === frame.streamId;
    if (!has(frame, END_HEADERS)) this.#block.begin(frame, endStream);
    else this.#section(frame.streamId, endStream, frame.bytes, frame.start, frame.end);
  }

  /** A CONTINUATION frame. */
  continuation(frame: FrameView): void {
    requireStream(frame);
    if (this.#block.streamId !== frame.streamId) {
      throw new ConnectionError(PROTOCOL_ERROR, "continuation_without_headers");
    }
    this.#block.append(frame);
    if (!has(frame, END_HEADERS)) return;
    const block = this.#block.finish();
    this.#section(frame.streamId, this.#block.endStream, block, 0, block.length);
  }

  /** A PRIORITY frame. */
  priority(frame: FrameView): void {
    const dependency = readPriority(frame);
    this.#connection.flood.spend(Nuisance.Control);
    if (dependency === undefined) this.#fail(frame.streamId, FRAME_SIZE_ERROR, FAULTS.frameSize);
    else if (dependency === frame.streamId) this.#fail(frame.streamId, PROTOCOL_ERROR, FAULTS.selfDependency);
  }

  /** An RST_STREAM frame. */
  rstStream(frame: FrameView): void {
    const code = readRstStream(frame);
    const { streams, flood } = this.#connection;
    if (streams.isIdle(frame.streamId)) throw new ConnectionError(PROTOCOL_ERROR, "reset_of_idle_stream");
    const stream = streams.get(frame.streamId);
    if (stream === undefined) {
      // Two resets may well meet on the way.
      if (streams.closed.how(frame.streamId) !== Closed.ResetByUs) flood.spend(Nuisance.LateFrame);
      return;
    }
    if (stream.sent === MessageState.Head) flood.spend(Nuisance.Reset);
    this.#connection.dropStream(stream, Closed.ResetByPeer);
    stream.listener.onFault(faultOfReset(code));
  }

  /** A DATA frame. */
  data(frame: FrameView): void {
    // Padding counts (§6.1), and so does data of streams that are no more.
    const flowBytes = frame.end - frame.start;
    readData(frame);
    const { streams, window, flood } = this.#connection;
    if (streams.isIdle(frame.streamId)) throw new ConnectionError(PROTOCOL_ERROR, "data_on_idle_stream");
    if (!window.take(flowBytes)) throw new ConnectionError(FLOW_CONTROL_ERROR, "connection_window_exceeded");
    const stream = streams.get(frame.streamId);
    if (frame.start === frame.end && !has(frame, END_STREAM)) flood.spend(Nuisance.EmptyFrame);
    if (stream === undefined) this.#late(frame.streamId);
    else this.#streamData(stream, frame, flowBytes);
    this.#connection.creditConnection();
  }

  #streamData(stream: Http2Stream<In, Out>, frame: FrameView, flowBytes: number): void {
    const end = has(frame, END_STREAM);
    const next = nextMessageState(stream.received, end ? MessageEvent.DataAndEnd : MessageEvent.Data);
    if (next === undefined) {
      this.#outOfOrder(stream);
      return;
    }
    if (!stream.window.take(flowBytes)) {
      this.#connection.failStream(stream, FLOW_CONTROL_ERROR, FAULTS.windowExceeded);
      return;
    }
    const length = frame.end - frame.start;
    if (!countBody(stream, length, end)) {
      this.#connection.failStream(stream, PROTOCOL_ERROR, FAULTS.lengthMismatch);
      return;
    }
    stream.received = next;
    if (length > 0 || end) stream.listener.onData(bodyPiece(frame), end);
    if (end) this.#connection.closeIfDone(stream);
    else this.#connection.creditStream(stream);
  }

  /** A whole field section: a head, or trailers. It is always decoded, since the HPACK tables must keep step. */
  #section(streamId: number, end: boolean, bytes: Buffer, start: number, until: number): void {
    const { streams } = this.#connection;
    const stream = streams.get(streamId);
    const isTrailers = stream !== undefined && stream.received !== MessageState.Head;
    this.#fields.begin(isTrailers);
    this.#decoder.decode(bytes, start, until, this.#fields);
    if (this.#selfDependent) this.#fields.fault ??= FAULTS.selfDependency;
    if (stream === undefined) this.#headWithoutStream(streamId, end);
    else if (isTrailers) this.#trailers(stream, end);
    else {
      const head = this.#connection.role.readHead(this.#fields, end, stream);
      if (isFault(head)) this.#connection.failStream(stream, PROTOCOL_ERROR, head);
      else this.#head(stream, head, end);
    }
  }

  #head(stream: Http2Stream<In, Out>, head: In, end: boolean): void {
    const { role } = this.#connection;
    if (role.isInformational(head)) {
      stream.informationals++;
      if (stream.informationals <= INFORMATIONAL_MAX) stream.listener.onInformational(head);
      else this.#connection.failStream(stream, ENHANCE_YOUR_CALM, FAULTS.tooManyInformational);
      return;
    }
    stream.received = end ? MessageState.Ended : MessageState.Body;
    stream.bodyBytesLeft = end ? 0 : role.bodyBytes(head, stream);
    stream.listener.onHead(head, end);
    if (end) this.#connection.closeIfDone(stream);
  }

  #trailers(stream: Http2Stream<In, Out>, end: boolean): void {
    const next = end ? nextMessageState(stream.received, MessageEvent.Trailers) : undefined;
    if (next === undefined) {
      this.#outOfOrder(stream);
      return;
    }
    const fault = this.#fields.fault ?? trailerFault(this.#fields) ?? endFault(stream);
    if (fault !== undefined) {
      this.#connection.failStream(stream, PROTOCOL_ERROR, fault);
      return;
    }
    stream.received = next;
    const trailers: HeaderList = this.#fields.headers;
    stream.listener.onTrailers(trailers);
    this.#connection.closeIfDone(stream);
  }

  /** HEADERS on a stream that is not open: a new request, a late frame, or a violation. */
  #headWithoutStream(streamId: number, end: boolean): void {
    const connection = this.#connection;
    const { streams } = connection;
    if (!streams.isIdle(streamId)) {
      if (streams.closed.how(streamId) === Closed.Forgotten) {
        throw new ConnectionError(PROTOCOL_ERROR, "stream_id_not_rising");
      }
      if (streams.closed.how(streamId) === Closed.Finished) {
        throw new ConnectionError(STREAM_CLOSED, "headers_on_closed_stream");
      }
      this.#late(streamId);
      return;
    }
    if (!connection.role.isServer || (streamId & 1) === 0) {
      throw new ConnectionError(PROTOCOL_ERROR, "stream_id_not_allowed");
    }
    streams.highestId = streamId;
    if (connection.refusesStreams) {
      // RFC 9113 §6.8: the peer has been told, by GOAWAY, that this stream is not processed.
      streams.closed.remember(streamId, Closed.ResetByUs);
      connection.flood.spend(Nuisance.LateFrame);
      return;
    }
    connection.lastProcessedId = streamId;
    if (streams.size >= connection.limits.concurrentStreamsMax) {
      this.#refuse(streamId, REFUSED_STREAM);
      return;
    }
    const head = connection.role.readHead(this.#fields, end, undefined);
    if (isFault(head)) this.#refuseRequest(streamId, head, end);
    else {
      const stream = connection.acceptStream(streamId, head);
      if (!stream.isOver) this.#head(stream, head, end);
    }
  }

  /** Answers a request that cannot be accepted: by a response where the RFC has one for it, else by RST_STREAM. */
  #refuseRequest(streamId: number, fault: StreamFault, end: boolean): void {
    const response = this.#connection.role.refusal(fault);
    if (response === undefined) {
      this.#refuse(streamId, PROTOCOL_ERROR);
      return;
    }
    this.#connection.writeFields(streamId, response, true);
    this.#connection.flood.spend(Nuisance.StreamError);
    this.#connection.streams.closed.remember(streamId, end ? Closed.Finished : Closed.ResetByUs);
    if (!end) writeRstStream(this.#connection.writer, streamId, NO_ERROR);
  }

  #refuse(streamId: number, code: number): void {
    writeRstStream(this.#connection.writer, streamId, code);
    this.#connection.streams.closed.remember(streamId, Closed.ResetByUs);
    this.#connection.flood.spend(Nuisance.StreamError);
  }

  /** A frame for a stream that has closed (RFC 9113 §5.1 "closed"). */
  #late(streamId: number): void {
    const { streams, flood, writer } = this.#connection;
    switch (streams.closed.how(streamId)) {
      case Closed.ResetByUs:
        return;
      case Closed.Finished:
        throw new ConnectionError(STREAM_CLOSED, "frame_on_closed_stream");
      default:
        flood.spend(Nuisance.LateFrame);
        writeRstStream(writer, streamId, STREAM_CLOSED);
        streams.closed.remember(streamId, Closed.ResetByUs);
    }
  }

  /** A frame that the state of the stream does not allow. */
  #outOfOrder(stream: Http2Stream<In, Out>): void {
    if (stream.received === MessageState.Ended) {
      this.#connection.failStream(stream, STREAM_CLOSED, FAULTS.closedSide);
    } else this.#connection.failStream(stream, PROTOCOL_ERROR, FAULTS.order);
  }

  /** Fails a stream that may be idle, on which nothing can be reset, or closed, on which there is nobody to tell. */
  #fail(streamId: number, code: number, fault: StreamFault): void {
    const { streams, writer } = this.#connection;
    if (streams.isIdle(streamId)) throw new ConnectionError(code, fault.detail);
    const stream = streams.get(streamId);
    if (stream === undefined) writeRstStream(writer, streamId, code);
    else this.#connection.failStream(stream, code, fault);
  }
}

/** Counts a piece of the body against the announced length; false when they do not agree (RFC 9113 §8.1.1). */
function countBody<In extends Head, Out extends Head>(
  stream: Http2Stream<In, Out>,
  bytes: number,
  end: boolean,
): boolean {
  if (stream.bodyBytesLeft === undefined) return true;
  stream.bodyBytesLeft -= bytes;
  return end ? stream.bodyBytesLeft === 0 : stream.bodyBytesLeft >= 0;
}

function endFault<In extends Head, Out extends Head>(stream: Http2Stream<In, Out>): StreamFault | undefined {
  return stream.bodyBytesLeft === undefined || stream.bodyBytesLeft === 0 ? undefined : FAULTS.lengthMismatch;
}

/** Fields that would change how the message is routed or framed come too late (RFC 9110 §6.5.1). */
function trailerFault(fields: FieldCollector): StreamFault | undefined {
  return fields.host === undefined && fields.expect === undefined ? undefined : FAULTS.field;
}

/** The frame's data, for the listener to keep. */
function bodyPiece(frame: FrameView): Uint8Array {
  const { bytes, start, end } = frame;
  const piece = bytes.subarray(start, end);
  return (end - start) * RETAINED_SHARE < bytes.buffer.byteLength ? new Uint8Array(piece) : piece;
}

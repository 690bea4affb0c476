import type { HeaderList, RequestHead, ResponseHead, StreamFault, StreamListener } from "../message.ts";
import type { FieldCollector } from "./field-collector.ts";
import type { Setting } from "./frame/settings.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";
import type { Http2Stream } from "./stream.ts";

export type Head = RequestHead | ResponseHead;

/**
 * All in which client and server differ. `In` is the kind of head that the peer sends, `Out` the kind that we send;
 * everything else is one machine.
 */
export interface Role<In extends Head, Out extends Head> {
  readonly isServer: boolean;
  readonly settings: readonly Setting[];
  /** Makes a head of a field section, or says why it is malformed. `stream` is undefined for a request. */
  readHead(fields: FieldCollector, end: boolean, stream: Http2Stream<In, Out> | undefined): In | StreamFault;
  /** Bytes of body that must follow a final head; undefined when only its end will tell. */
  bodyBytes(head: In, stream: Http2Stream<In, Out>): number | undefined;
  isInformational(head: In): boolean;
  /** A new stream of the peer's: who listens to it. Called on servers only. */
  accept(stream: Http2Stream<In, Out>, head: In): StreamListener<In>;
  /** Encodes a head into the open block. */
  writeHead(encoder: HpackEncoder, head: Out, stream: Http2Stream<In, Out>): void;
  /** A stream of ours is about to send its head: gives it its identifier. False: the head goes out later, or never. */
  admit(stream: Http2Stream<In, Out>, head: Out, end: boolean): boolean;
  /** The fields with which a request is refused that was never accepted; undefined: by RST_STREAM only. */
  refusal(fault: StreamFault): HeaderList | undefined;
  /** The peer broke the connection's protocol while no stream was open whose listener could hear of it. */
  onUnheardFault(fault: StreamFault): void;
  /** The peer's SETTINGS have come in for the first time. */
  onPeerSettings(): void;
  /** The peer takes no streams above this one. */
  onGoaway(lastStreamId: number): void;
}

/** Tells why a head is malformed from a head. */
export function isFault(head: Head | StreamFault): head is StreamFault {
  return "kind" in head;
}

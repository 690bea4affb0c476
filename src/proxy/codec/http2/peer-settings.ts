import { ASSUMED_CONCURRENT_STREAMS, INITIAL_WINDOW_BYTES } from "./bounds.ts";
import { ConnectionError, PROTOCOL_ERROR } from "./error.ts";
import {
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  type Setting,
} from "./frame/settings.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

/**
 * What the peer has asked of us so far. MAX_FRAME_SIZE is not among it, being never below what we send, nor
 * MAX_HEADER_LIST_SIZE, which is advice that the peer enforces itself.
 */
export class PeerSettings {
  /** The first SETTINGS have come in. */
  areKnown = false;
  /** Streams that we may have open at once. */
  concurrentStreamsMax = ASSUMED_CONCURRENT_STREAMS;
  /** Window of each new stream that we send on. */
  windowBytes = INITIAL_WINDOW_BYTES;
  /** The peer takes extended CONNECT (RFC 8441 §3). */
  takesExtendedConnect = false;

  /** Applies a frame's parameters, in order; throws PROTOCOL_ERROR on what this peer must not ask. */
  apply(settings: readonly Setting[], fromServer: boolean, encoder: HpackEncoder): void {
    if (!this.areKnown) this.concurrentStreamsMax = Number.POSITIVE_INFINITY;
    this.areKnown = true;
    for (const [id, value] of settings) {
      if (id === HEADER_TABLE_SIZE) encoder.limitTable(value);
      else if (id === MAX_CONCURRENT_STREAMS) this.concurrentStreamsMax = value;
      else if (id === INITIAL_WINDOW_SIZE) this.windowBytes = value;
      else if (id === ENABLE_CONNECT_PROTOCOL) this.#offerExtendedConnect(value === 1);
      else if (id === ENABLE_PUSH && value === 1 && fromServer) {
        throw new ConnectionError(PROTOCOL_ERROR, "push_enabled_by_server");
      }
    }
  }

  #offerExtendedConnect(offered: boolean): void {
    // RFC 8441 §3: once offered, it must stay.
    if (!offered && this.takesExtendedConnect) throw new ConnectionError(PROTOCOL_ERROR, "extended_connect_withdrawn");
    this.takesExtendedConnect = offered;
  }
}

/** The windows that the peer grants us (RFC 9113 §6.9): what it adds to them, and what its settings do to them. */

import { Nuisance, WINDOW_BYTES_MAX } from "./bounds.ts";
import type { Http2Connection } from "./connection.ts";
import { ConnectionError, FLOW_CONTROL_ERROR, PROTOCOL_ERROR } from "./error.ts";
import { FAULTS } from "./fault.ts";
import type { FrameView } from "./frame/frame.ts";
import { readWindowUpdate } from "./frame/window-update.ts";
import type { Head } from "./role.ts";

/** RFC 9113 §6.9.2: a new initial window applies to every open stream, and may make windows negative. */
export function changeSendWindows<In extends Head, Out extends Head>(
  { streams, scheduler }: Http2Connection<In, Out>,
  change: number,
): void {
  if (change === 0) return;
  for (const stream of streams.all()) {
    stream.sendWindow += change;
    if (stream.sendWindow > WINDOW_BYTES_MAX) throw new ConnectionError(FLOW_CONTROL_ERROR, "stream_window_overflow");
    scheduler.unblock(stream);
  }
}

/** Takes in a WINDOW_UPDATE, and sends what it lets go. */
export function updateSendWindow<In extends Head, Out extends Head>(
  connection: Http2Connection<In, Out>,
  frame: FrameView,
): void {
  const { flood, scheduler } = connection;
  const increment = readWindowUpdate(frame);
  flood.spend(Nuisance.WindowUpdate);
  if (frame.streamId === 0) {
    if (increment === 0) throw new ConnectionError(PROTOCOL_ERROR, "window_increment_zero");
    scheduler.window += increment;
    if (scheduler.window > WINDOW_BYTES_MAX) {
      throw new ConnectionError(FLOW_CONTROL_ERROR, "connection_window_overflow");
    }
  } else if (!updateStream(connection, frame.streamId, increment)) return;
  scheduler.pump();
}

/** False when the stream is not there to use its window. */
function updateStream<In extends Head, Out extends Head>(
  connection: Http2Connection<In, Out>,
  streamId: number,
  increment: number,
): boolean {
  const { streams, scheduler } = connection;
  const stream = streams.get(streamId);
  if (stream === undefined) {
    if (streams.isIdle(streamId)) throw new ConnectionError(PROTOCOL_ERROR, "window_update_on_idle_stream");
    return false;
  }
  stream.sendWindow += increment;
  if (increment === 0) connection.failStream(stream, PROTOCOL_ERROR, FAULTS.windowIncrement);
  else if (stream.sendWindow > WINDOW_BYTES_MAX) {
    connection.failStream(stream, FLOW_CONTROL_ERROR, FAULTS.windowOverflow);
  } else scheduler.unblock(stream);
  return !stream.isOver;
}

/** A server side of HTTP/2 that a test talks frames to. */

import { Http2ServerConnection } from "../../src/proxy/codec/http2/server-connection.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/proxy/limits.ts";
import { CLIENT_HELLO, FrameLog } from "./http2-frames.ts";
import { MemoryOutput } from "./memory-output.ts";
import { type AcceptedStream, recordStreams } from "./stream-recorder.ts";

export interface Server {
  readonly output: MemoryOutput;
  readonly connection: Http2ServerConnection;
  readonly accepted: AcceptedStream[];
  /** Sends frames to the server and returns what it answers, as lines. */
  say(...frames: Uint8Array[]): string[];
  /** What the server has to say without being asked. */
  hear(): string[];
  stream(index: number): AcceptedStream;
}

/** A server that has exchanged SETTINGS with its client. */
export function makeServer(limits: Partial<Limits> = {}, hello: Uint8Array = CLIENT_HELLO): Server {
  const output = new MemoryOutput();
  const { accept, accepted } = recordStreams();
  const options = { output, limits: { ...DEFAULT_LIMITS, ...limits }, accept, scheme: "http" };
  const connection = new Http2ServerConnection(options);
  const log = new FrameLog();
  const hear = (): string[] => {
    const lines = log.lines(output.take());
    connection.drained();
    return lines;
  };
  const say = (...frames: Uint8Array[]): string[] => {
    connection.receive(Buffer.concat(frames));
    return hear();
  };
  const stream = (index: number): AcceptedStream => {
    const found = accepted[index];
    if (found === undefined) throw new Error(`stream ${index} was not accepted`);
    return found;
  };
  connection.receive(hello);
  hear();
  return { output, connection, accepted, say, hear, stream };
}

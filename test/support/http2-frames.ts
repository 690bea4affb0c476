import { readUint24, readUint31 } from "../../src/proxy/codec/http2/frame/frame.ts";
import { HpackDecoder } from "../../src/proxy/codec/http2/hpack/decoder.ts";
import { PREFACE } from "../../src/proxy/codec/http2/preface.ts";

/** Frames as bytes, and bytes as frames, written by hand so that they can be as wrong as a test wants. */

export const TYPES = [
  "DATA",
  "HEADERS",
  "PRIORITY",
  "RST_STREAM",
  "SETTINGS",
  "PUSH_PROMISE",
  "PING",
  "GOAWAY",
  "WINDOW_UPDATE",
  "CONTINUATION",
] as const;

export type FrameName = (typeof TYPES)[number];

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY_FLAG = 0x20;

export interface Frame {
  readonly type: FrameName | number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export type Bytes = string | readonly number[] | Uint8Array;

function toBuffer(bytes: Bytes): Buffer {
  return typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
}

export function frame(type: FrameName | number, flags: number, streamId: number, payload: Bytes = []): Buffer {
  const body = toBuffer(payload);
  const bytes = Buffer.alloc(9 + body.length);
  bytes.writeUIntBE(body.length, 0, 3);
  bytes[3] = typeof type === "number" ? type : TYPES.indexOf(type);
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId >>> 0, 5);
  bytes.set(body, 9);
  return bytes;
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * index);
  return bytes;
}

export function settings(...pairs: [id: number, value: number][]): Buffer {
  const payload = Buffer.alloc(6 * pairs.length);
  for (const [index, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, 6 * index);
    payload.writeUInt32BE(value >>> 0, 6 * index + 2);
  }
  return frame("SETTINGS", 0, 0, payload);
}

/** What every client says first. */
export const CLIENT_HELLO = Buffer.concat([PREFACE, settings(), frame("SETTINGS", ACK, 0)]);
export const SERVER_HELLO = Buffer.concat([settings(), frame("SETTINGS", ACK, 0)]);

/** A field block of literals that touches no table. */
export function block(...fields: [name: string, value: string][]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [0x7f];
  let rest = bytes.length - 127;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
}

export const GET: [string, string][] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "orders.shop"],
];

export const POST: [string, string][] = [[":method", "POST"], ...GET.slice(1)];

export function headers(streamId: number, fields: [string, string][], end: boolean): Buffer {
  return frame("HEADERS", END_HEADERS | (end ? END_STREAM : 0), streamId, block(...fields));
}

export function data(streamId: number, payload: Bytes, end: boolean): Buffer {
  return frame("DATA", end ? END_STREAM : 0, streamId, payload);
}

/** Cuts bytes into frames; throws when the last one is not whole. */
export function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 9 + readUint24(bytes, at);
    if (end > bytes.length) throw new Error("a frame is cut off");
    const type = bytes[at + 3] ?? 0;
    frames.push({
      type: TYPES[type] ?? type,
      flags: bytes[at + 4] ?? 0,
      streamId: readUint31(bytes, at + 5),
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}

/** Frames as short lines: `HEADERS 1 end :status=200`, `DATA 1 5`, `GOAWAY 1 protocol_error …`. One decoder per peer. */
export class FrameLog {
  readonly #decoder = new HpackDecoder();

  lines(bytes: Buffer): string[] {
    return parseFrames(bytes).map((parsed) => this.#line(parsed));
  }

  #line({ type, flags, streamId, payload }: Frame): string {
    const end = (type === "DATA" || type === "HEADERS") && (flags & END_STREAM) !== 0 ? " end" : "";
    switch (type) {
      case "HEADERS":
        return `HEADERS ${streamId}${end} ${this.#fields(payload)}`;
      case "DATA":
        return `DATA ${streamId}${end} ${payload.length}`;
      case "RST_STREAM":
        return `RST_STREAM ${streamId} ${payload.readUInt32BE(0)}`;
      case "WINDOW_UPDATE":
        return `WINDOW_UPDATE ${streamId} ${payload.readUInt32BE(0)}`;
      case "GOAWAY":
        return `GOAWAY ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)} ${payload.toString("latin1", 8)}`.trimEnd();
      default:
        return `${type} ${streamId}${(flags & ACK) !== 0 ? " ack" : ""} ${payload.length}`;
    }
  }

  #fields(payload: Buffer): string {
    const fields: string[] = [];
    const sink = { field: (name: string, value: string) => void fields.push(`${name}=${value}`) };
    this.#decoder.decode(payload, 0, payload.length, sink);
    return fields.join(" ");
  }
}

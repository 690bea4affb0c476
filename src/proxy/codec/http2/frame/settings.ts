/** SETTINGS: what each side asks of the other (RFC 9113 §6.5, RFC 8441 §3). */

import { FRAME_BYTES_MAX, SETTINGS_PER_FRAME_MAX, WINDOW_BYTES_MAX } from "../bounds.ts";
import { ConnectionError, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR } from "../error.ts";
import type { FrameWriter } from "../frame-writer.ts";
import {
  ACK,
  FRAME_HEADER_BYTES,
  type FrameView,
  has,
  readUint16,
  readUint32,
  requireLength,
  requireNoStream,
} from "./frame.ts";

export const SETTINGS = 0x4;

export const HEADER_TABLE_SIZE = 0x1;
export const ENABLE_PUSH = 0x2;
export const MAX_CONCURRENT_STREAMS = 0x3;
export const INITIAL_WINDOW_SIZE = 0x4;
const MAX_FRAME_SIZE = 0x5;
export const MAX_HEADER_LIST_SIZE = 0x6;
export const ENABLE_CONNECT_PROTOCOL = 0x8;

const SETTING_BYTES = 6;
const FRAME_SIZE_SETTING_MAX = 0xff_ffff;

/** One parameter: its identifier and its value, already known to be within what the RFC allows. */
export type Setting = readonly [id: number, value: number];

/** The parameters in order, or `ack`. Throws on a value that is not allowed; unknown identifiers are left in. */
export function readSettings(frame: FrameView): Setting[] | "ack" {
  requireNoStream(frame);
  if (has(frame, ACK)) {
    requireLength(frame, 0);
    return "ack";
  }
  const length = frame.end - frame.start;
  if (length % SETTING_BYTES !== 0) throw new ConnectionError(FRAME_SIZE_ERROR, "settings_length_wrong");
  if (length > SETTING_BYTES * SETTINGS_PER_FRAME_MAX)
    throw new ConnectionError(ENHANCE_YOUR_CALM, "too_many_settings");
  const settings: Setting[] = [];
  for (let at = frame.start; at < frame.end; at += SETTING_BYTES) {
    const id = readUint16(frame.bytes, at);
    const value = readUint32(frame.bytes, at + 2);
    checkSetting(id, value);
    settings.push([id, value]);
  }
  return settings;
}

function checkSetting(id: number, value: number): void {
  switch (id) {
    case ENABLE_PUSH:
    case ENABLE_CONNECT_PROTOCOL:
      if (value > 1) throw new ConnectionError(PROTOCOL_ERROR, "setting_not_boolean");
      return;
    case INITIAL_WINDOW_SIZE:
      if (value > WINDOW_BYTES_MAX) throw new ConnectionError(FLOW_CONTROL_ERROR, "initial_window_too_large");
      return;
    case MAX_FRAME_SIZE:
      if (value < FRAME_BYTES_MAX || value > FRAME_SIZE_SETTING_MAX) {
        throw new ConnectionError(PROTOCOL_ERROR, "max_frame_size_out_of_range");
      }
      return;
    default:
      return;
  }
}

/** Stages the parameters, in order, as one frame. */
export function writeSettings(writer: FrameWriter, settings: readonly Setting[]): void {
  const length = settings.length * SETTING_BYTES;
  writer.reserve(FRAME_HEADER_BYTES + length);
  writer.frameHeader(length, SETTINGS, 0, 0);
  for (const [id, value] of settings) {
    writer.uint16(id);
    writer.uint32(value);
  }
}

/** Stages the acknowledgement of the peer's SETTINGS. */
export function writeSettingsAck(writer: FrameWriter): void {
  writer.reserve(FRAME_HEADER_BYTES);
  writer.frameHeader(0, SETTINGS, ACK, 0);
}

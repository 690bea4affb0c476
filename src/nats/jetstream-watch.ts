/**
 * Whether JetStream is still there. nats-server gives it up when its disk is full, goes on as if nothing were, and
 * takes it up again only when it is started: until then nothing can be recorded, read or enforced anew.
 */

import { statfs } from "node:fs/promises";
import { z } from "zod";
import { parseJson } from "../policy/json.ts";
import { RequestTimeout } from "./bus.ts";
import { connectBus } from "./connection.ts";
import { mintWatchUser } from "./credentials.ts";
import type { Directory } from "./directory.ts";
import { subjects } from "./subjects.ts";

/** Between two looks. */
const LOOK_EVERY_MS = 5_000;
/** A server that can be reached answers within a millisecond. */
const ANSWER_TIMEOUT_MS = 5_000;
/** In a row: a machine that is very busy is no reason to start a server again. */
const LOOKS_OFF = 3;
/** With less on the disk, a start would only end in the same way. */
const ROOM_BYTES_MIN = 16 * 1024 * 1024;

/** As far as it is of interest: nats-server says much more. */
const jetStreamState = z.object({ data: z.object({ disabled: z.boolean().optional() }) });

export interface JetStreamWatchOptions {
  readonly isOff: () => Promise<boolean>;
  readonly hasRoom: () => Promise<boolean>;
  /** JetStream is off, and the disk full or not. Called once. */
  readonly off: (isFull: boolean) => void;
  /** It is off, and there is room: the server is to be started again. Called once, and the watch is over. */
  readonly restart: () => void;
  readonly lookEveryMs?: number;
}

/** Looks from time to time, until what is returned is called. */
export function watchJetStream(options: JetStreamWatchOptions): () => void {
  const { isOff, hasRoom, off, restart, lookEveryMs = LOOK_EVERY_MS } = options;
  let looksOff = 0;
  let isTold = false;
  let isOver = false;
  let timer = setTimeout(look, lookEveryMs);

  async function look(): Promise<void> {
    looksOff = (await isOff()) ? looksOff + 1 : 0;
    const isRoom = looksOff >= LOOKS_OFF && (await hasRoom());
    if (isOver) return;
    if (looksOff >= LOOKS_OFF && !isTold) {
      isTold = true;
      off(!isRoom);
    }
    if (isRoom) restart();
    else timer = setTimeout(look, lookEveryMs);
  }

  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** Looks only where the server can be reached: of one that is away, nothing is known. */
export async function isJetStreamOff(directory: Directory): Promise<boolean> {
  try {
    const server = await directory.server();
    if (server === undefined) return false;
    const credentials = await mintWatchUser(await directory.trust());
    const bus = await connectBus({ ...server, credentials, name: "heddle up", onError: () => {} });
    try {
      const answer = await bus.request(subjects.jetStreamState, new Uint8Array(), { timeoutMs: ANSWER_TIMEOUT_MS });
      return jetStreamState.safeParse(parseJson(answer)).data?.data.disabled === true;
    } finally {
      await bus.close();
    }
  } catch (error) {
    // nats-server 2.9 holds on to a lock from then on, and does not answer at all.
    return error instanceof RequestTimeout;
  }
}

/** Whether the disk of the server's store has room enough to start again. */
export async function hasRoomToStart({ natsPath }: Directory): Promise<boolean> {
  const { bavail, bsize } = await statfs(natsPath);
  return bavail * bsize >= ROOM_BYTES_MIN;
}

/** Making a stream, also where several replicas make it at the same moment. */

import { NatsError, type StreamAPI, type StreamConfig } from "nats";

/** JetStream's error codes: a stream of the name exists with other settings; its subjects belong to another stream. */
const NAME_IN_USE = 10_058;
const SUBJECTS_OVERLAP = 10_065;

/** Times that an overlap is taken for a race, and the wait before each: some 0.6 s in all. */
const RACES_MAX = 6;
const RACE_WAIT_MS = 30;

/**
 * Makes a stream. True where it is there with these settings, whoever made it; false where one of the name has others.
 * Of two requests that make the same stream at once, the server refuses one, for its subjects overlap with the other's
 * stream: asked again, it finds the stream as it should be. An overlap that stays is another's stream, and thrown.
 */
export async function addStream(
  streams: StreamAPI,
  config: Partial<StreamConfig> & { readonly name: string },
): Promise<boolean> {
  for (let race = 1; ; race++) {
    try {
      await streams.add(config);
      return true;
    } catch (error) {
      const code = error instanceof NatsError ? error.jsError()?.err_code : undefined;
      if (code === NAME_IN_USE) return false;
      if (code !== SUBJECTS_OVERLAP || race > RACES_MAX) throw error;
      await Bun.sleep(race * RACE_WAIT_MS);
    }
  }
}

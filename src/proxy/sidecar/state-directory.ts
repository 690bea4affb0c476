/**
 * What a sidecar keeps between runs, so that it starts and serves while NATS is away: the last good snapshot and the
 * last endpoints (its certificate is kept beside them by `ca/workload`). Bound to one mesh: a directory that another
 * mesh left behind is not believed.
 */

import { join } from "node:path";
import { z } from "zod";
import { makePrivateDirectory, readKeptIfPresent, writePrivateFile } from "../../nats/private-file.ts";
import { type EndpointSet, endpointSet, type ServiceSnapshot, serviceSnapshot } from "../../projections/snapshot.ts";
import { othersTurn } from "./turns.ts";

const storedState = z.strictObject({
  /** Whoever issued the credentials that this state was received with. */
  mesh: z.string(),
  snapshot: serviceSnapshot.optional(),
  endpoints: z.array(endpointSet),
});

export interface SidecarState {
  readonly snapshot: ServiceSnapshot | undefined;
  readonly endpoints: readonly EndpointSet[];
}

const EMPTY: SidecarState = { snapshot: undefined, endpoints: [] };

export class StateDirectory {
  readonly #file: string;
  #writing: Promise<void> | undefined;
  /** The endpoints to be written next. */
  #next: readonly EndpointSet[] | undefined;
  /** JSON of the snapshot, as it came: to write a large one down anew would take longer than to put it in force. */
  #snapshot: Uint8Array | undefined;
  /** JSON of endpoint sets, which are never changed: of many, one changes at a time. */
  readonly #texts = new WeakMap<EndpointSet, string>();

  private constructor(
    readonly path: string,
    readonly mesh: string,
    private readonly onError: (message: string) => void,
  ) {
    this.#file = join(path, "state.json");
  }

  static async open(path: string, mesh: string, onError: (message: string) => void): Promise<StateDirectory> {
    await makePrivateDirectory(path);
    return new StateDirectory(path, mesh, onError);
  }

  /** What an earlier run left; empty where there is nothing, or nothing to be believed. */
  async load(): Promise<SidecarState> {
    try {
      const text = await readKeptIfPresent(this.#file);
      if (text === undefined) return EMPTY;
      const state = storedState.parse(JSON.parse(text));
      if (state.mesh === this.mesh) {
        if (state.snapshot !== undefined) this.#snapshot = Buffer.from(JSON.stringify(state.snapshot));
        return { snapshot: state.snapshot, endpoints: state.endpoints };
      }
      this.onError(`${this.#file} belongs to another mesh and is left out of account`);
    } catch (error) {
      this.onError(`${this.#file} cannot be read and is left out of account: ${String(error)}`);
    }
    return EMPTY;
  }

  /**
   * Keeps the newest state; writes that come while one is under way are folded into one.
   * @param snapshot its JSON; absent: it is the same as before.
   */
  save(endpoints: readonly EndpointSet[], snapshot = this.#snapshot): void {
    this.#snapshot = snapshot;
    this.#next = endpoints;
    this.#writing ??= this.#write();
  }

  /** What was saved is on disk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      // Not on top of what it took to enforce.
      await othersTurn();
      const endpoints = this.#next;
      this.#next = undefined;
      try {
        await writePrivateFile(this.#file, this.#encode(endpoints));
      } catch (error) {
        this.onError(`${this.#file} cannot be written: ${String(error)}`);
      }
    }
    this.#writing = undefined;
  }

  /** As `storedState` has it. */
  #encode(endpoints: readonly EndpointSet[]): Uint8Array {
    const sets = endpoints.map((set) => {
      const text = this.#texts.get(set) ?? JSON.stringify(set);
      this.#texts.set(set, text);
      return text;
    });
    return Buffer.concat([
      Buffer.from(`{"mesh":${JSON.stringify(this.mesh)},"endpoints":[${sets.join()}]`),
      ...(this.#snapshot === undefined ? [] : [Buffer.from(',"snapshot":'), this.#snapshot]),
      Buffer.from("}"),
    ]);
  }
}

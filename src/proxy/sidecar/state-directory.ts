/**
 * What a sidecar keeps between runs, so that it starts and serves while NATS is away: the last good snapshot and the
 * last endpoints (its certificate is kept beside them by `ca/workload`). Bound to one mesh: a directory that another
 * mesh left behind is not believed.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { makePrivateDirectory, writePrivateFile } from "../../nats/private-file.ts";
import { type EndpointSet, endpointSet, type ServiceSnapshot, serviceSnapshot } from "../../projections/snapshot.ts";

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
  #next: SidecarState | undefined;

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
    let text: string;
    try {
      text = await readFile(this.#file, "utf8");
    } catch {
      return EMPTY;
    }
    try {
      const state = storedState.parse(JSON.parse(text));
      if (state.mesh === this.mesh) return { snapshot: state.snapshot, endpoints: state.endpoints };
      this.onError(`${this.#file} belongs to another mesh and is left out of account`);
    } catch (error) {
      this.onError(`${this.#file} cannot be read and is left out of account: ${String(error)}`);
    }
    return EMPTY;
  }

  /** Keeps the newest state; writes that come while one is under way are folded into one. */
  save(state: SidecarState): void {
    this.#next = state;
    this.#writing ??= this.#write();
  }

  /** What was saved is on disk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      // A large snapshot takes milliseconds to write down, which are not to come on top of those that it took to enforce.
      await new Promise((resolve) => setImmediate(resolve));
      const state = this.#next;
      this.#next = undefined;
      try {
        await writePrivateFile(this.#file, JSON.stringify({ mesh: this.mesh, ...state }));
      } catch (error) {
        this.onError(`${this.#file} cannot be written: ${String(error)}`);
      }
    }
    this.#writing = undefined;
  }
}

/** Snapshots as control pushes them to the caller's sidecar, each other than the one before. */

import { openBucket } from "../src/nats/buckets.ts";
import { CONFIG_BUCKET, subjects } from "../src/nats/subjects.ts";
import { encodeSnapshot } from "../src/projections/compile-snapshot.ts";
import { type InstanceStatus, type ServiceSnapshot, serviceSnapshot } from "../src/projections/snapshot.ts";
import type { startPair } from "./contenders/heddle.ts";

export type Pair = Awaited<ReturnType<typeof startPair>>;

interface Push {
  readonly revision: number;
  readonly data: Uint8Array;
}

export class SnapshotPushes {
  #revision: number;

  private constructor(
    private readonly pair: Pair,
    private readonly first: ServiceSnapshot,
  ) {
    this.#revision = first.revision;
  }

  static async of(pair: Pair): Promise<SnapshotPushes> {
    return new SnapshotPushes(pair, await snapshotOfWeb(pair));
  }

  /**
   * In advance: to write down a large one takes this process, which is the load's as well, some milliseconds.
   * @param changes of which services each says something new; by default of all.
   */
  prepare(count: number, changes: (ref: string) => boolean = () => true): Push[] {
    return Array.from({ length: count }, () => {
      const revision = ++this.#revision;
      return { revision, data: encodeSnapshot(altered(this.first, revision, changes)) };
    });
  }

  /**
   * Pushes to web's sidecar, one after the other; each one's milliseconds until its status says that it is in force.
   * @param between done after each, with how many that were.
   */
  async push(pushes: readonly Push[], between: (done: number) => Promise<void>): Promise<number[]> {
    const { control } = this.pair.mesh;
    let waiting: { readonly revision: number; readonly resolve: () => void } | undefined;
    const subscription = control.subscribe(subjects.allStatus, ({ data }) => {
      const status = JSON.parse(new TextDecoder().decode(data)) as InstanceStatus;
      if (status.service === "web" && status.revision === waiting?.revision) waiting.resolve();
    });
    await control.flush();
    const timesMs: number[] = [];
    for (const { revision, data } of pushes) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting = { revision, resolve };
      const startMs = performance.now();
      control.publish(subjects.config("shop", "web"), data);
      await promise;
      timesMs.push(performance.now() - startMs);
      await between(timesMs.length);
    }
    subscription.stop();
    return timesMs;
  }
}

export async function snapshotOfWeb({ mesh }: Pair): Promise<ServiceSnapshot> {
  const stored = await (await openBucket(mesh.control, CONFIG_BUCKET)).get("shop.web");
  return serviceSnapshot.parse(JSON.parse(new TextDecoder().decode(stored?.value)));
}

/** The same with another timeout, so that no two that follow each other are alike. */
export function altered(
  snapshot: ServiceSnapshot,
  revision: number,
  changes: (ref: string) => boolean,
): ServiceSnapshot {
  const upstreams = Object.entries(snapshot.upstreams).map(([ref, upstream]) => {
    if (!changes(ref)) return [ref, upstream] as const;
    const rules = upstream.routes.map((rule) => ({ ...rule, timeoutMs: 20_000 + (revision % 100) }));
    return [ref, { ...upstream, routes: rules }] as const;
  });
  return { ...snapshot, revision, upstreams: Object.fromEntries(upstreams) };
}

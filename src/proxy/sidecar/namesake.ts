/**
 * Checks, some time after the start, whether callers are sent here: where another sidecar of the same name is alive,
 * they are sent there. Costs a read or two in a sidecar's life: once it was seen among the endpoints, it has the name.
 */

import type { Bucket } from "../../nats/bus.ts";
import { parseJson } from "../../policy/json.ts";
import { endpointSet } from "../../projections/snapshot.ts";
import type { Logger } from "../../telemetry/logger.ts";

/** More than a heartbeat: by then whoever had the name before has spoken again, or never will. */
const LOOK_AFTER_MS = 6_000;
/** While another has the name, or the instance takes no traffic yet. */
const LOOK_AGAIN_MS = 60_000;

export interface NamesakeOptions {
  readonly namespace: string;
  readonly service: string;
  readonly instance: string;
  readonly endpoints: Pick<Bucket, "get">;
  /** `host:port` under which this sidecar is announced. */
  readonly address: () => string;
  readonly logger: Logger;
}

export class Namesake {
  readonly #options: NamesakeOptions;
  #timer: ReturnType<typeof setTimeout>;
  #stopped = false;
  /** Where the other one is; undefined: nobody else is known to have the name. */
  #address: string | undefined;
  /** At the last look. */
  #seen: string | undefined;

  constructor(options: NamesakeOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => void this.#look(), LOOK_AFTER_MS);
  }

  /** Why nobody is sent here, in words; undefined: no other sidecar is known to have the name. */
  get fault(): string | undefined {
    const { namespace, service, instance } = this.#options;
    if (this.#address === undefined) return undefined;
    const other = `another sidecar of ${namespace}/${service}, at ${this.#address}, has the name ${instance}`;
    return `${other}: callers are sent there; give one of the two a name of its own with --instance`;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const { endpoints, namespace, service, instance, address, logger } = this.#options;
    const entry = await endpoints.get(`${namespace}.${service}`).catch(() => undefined);
    if (this.#stopped) return;
    const set = entry && endpointSet.safeParse(parseJson(entry.value)).data;
    const listed = set?.endpoints.find((endpoint) => endpoint.instance === instance);
    const at = listed && `${listed.host}:${listed.port}`;
    if (at === address()) {
      this.#address = undefined;
      return;
    }
    // One that has just started passes for our own restart until our next heartbeat; so it has to be seen twice.
    const isSure = at === undefined || at === this.#seen;
    this.#address = isSure ? at : undefined;
    this.#seen = at;
    if (this.fault !== undefined) logger.error({}, this.fault);
    this.#timer = setTimeout(() => void this.#look(), isSure ? LOOK_AGAIN_MS : LOOK_AFTER_MS);
  }
}

/** The shop's traffic: single calls made as one of its services makes them, many of them, and shoppers without end. */

import type { Shop } from "./shop.ts";
import { until } from "./until.ts";

/** Longer than any timeout in the mesh: whoever waits in vain for that long counts as failed. */
const TIMEOUT_MS = 15_000;
/** Calls under way at once, where many are made. */
const CONCURRENCY = 8;

const SHOPPERS = 4;
/** How long each looks at a page: some seventy pages a second in all, so that two cores suffice. */
const PAUSE_MS = 50;

export interface Answer {
  readonly status: number;
  /** The version of the catalog that answered, where it says so. */
  readonly version: string | undefined;
  readonly headers: Headers;
  readonly body: string;
}

export interface CallSpec {
  /** The instance that calls. */
  readonly from: string;
  /** Name of the called service, such as `catalog`. */
  readonly to: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One call as the service beside that sidecar would make it: through the sidecar's outbound listener. */
export async function call(shop: Shop, { from, to, method = "GET", path, headers = {} }: CallSpec): Promise<Answer> {
  const { outbound } = shop.instance(from).ports;
  const response = await fetch(`http://127.0.0.1:${outbound}${path}`, {
    method,
    headers: { ...headers, host: to },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    proxy: "",
  });
  const body = await response.text();
  return {
    status: response.status,
    version: response.headers.get("x-version") ?? undefined,
    headers: response.headers,
    body,
  };
}

/** The same call many times, a few of them at once. */
export async function callMany(shop: Shop, spec: CallSpec, count: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  let begun = 0;
  const caller = async (): Promise<void> => {
    while (begun++ < count) answers.push(await call(shop, spec));
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, caller));
  return answers;
}

/** What shoppers have met with. */
export interface Tally {
  readonly requests: number;
  readonly failed: number;
  /** The first failure in words; undefined where there was none. */
  readonly firstFailure: string | undefined;
}

/** A few shoppers who look at the front page again and again, for which web calls catalog and orders. */
export class Shoppers {
  readonly #url: string;
  readonly #running: Promise<void>[];
  #requests = 0;
  #failed = 0;
  #firstFailure: string | undefined;
  #stopping = false;

  constructor(shop: Shop) {
    this.#url = `http://127.0.0.1:${shop.instance("web").ports.service}/`;
    this.#running = Array.from({ length: SHOPPERS }, () => this.#shop());
  }

  /** Resolves when so many more pages have been asked for and answered, well or badly. */
  async served(count: number): Promise<void> {
    const target = this.#requests + count;
    await until(`${count} more pages`, () => {
      if (this.#requests < target) throw new Error(`${target - this.#requests} are missing`);
    });
  }

  /** Sends them home, and tells what they have met with. */
  async stop(): Promise<Tally> {
    this.#stopping = true;
    await Promise.all(this.#running);
    return { requests: this.#requests, failed: this.#failed, firstFailure: this.#firstFailure };
  }

  async #shop(): Promise<void> {
    while (!this.#stopping) {
      const failure = await this.#look();
      this.#requests += 1;
      if (failure !== undefined) {
        this.#failed += 1;
        this.#firstFailure ??= failure;
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** One page; undefined when it came. */
  async #look(): Promise<string | undefined> {
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(TIMEOUT_MS), proxy: "" });
      const text = await response.text();
      return response.ok ? undefined : `${response.status} ${text.trim()}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

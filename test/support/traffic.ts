/** Steady traffic in the background of a test, and what became of it. */

export interface Traffic {
  readonly answered: number;
  /** Ends it; resolves with everything that was not a 200. */
  stop(): Promise<string[]>;
}

/** `workers` loops, each one request after the other. */
export function startTraffic(call: () => Promise<Response>, workers = 8): Traffic {
  const failures: string[] = [];
  let answered = 0;
  let stopped = false;
  const work = async (): Promise<void> => {
    while (!stopped) {
      try {
        const response = await call();
        const text = await response.text();
        if (response.status !== 200) failures.push(`${response.status} ${text}`);
      } catch (error) {
        failures.push(String(error));
      }
      answered++;
    }
  };
  const all = Promise.all(Array.from({ length: workers }, work));
  return {
    get answered() {
      return answered;
    },
    stop: async () => {
      stopped = true;
      await all;
      return failures;
    },
  };
}

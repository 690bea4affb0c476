/** What is asked of every contender, and how long. */

export interface Scenario {
  /** Stable: results of different days are compared by it. */
  readonly name: string;
  readonly client: "http/1.1" | "h2c" | "grpc";
  readonly connections: number;
  readonly bodyBytes: number;
  /** Each request with a path, a cookie and ids of its own, as users send them: nothing that repeats helps anybody. */
  readonly varied?: boolean;
}

export interface Plan {
  readonly rounds: number;
  /** Of one contender in one scenario and round. */
  readonly seconds: number;
  /** Before the first round, so that compilers have compiled and pools are filled. */
  readonly warmUpSeconds: number;
  readonly scenarios: readonly Scenario[];
}

const CONNECTIONS = [1, 16, 64] as const;
const BODIES = [130, 1024, 65_536] as const;

function http1(connections: number, bodyBytes: number): Scenario {
  return { name: `HTTP/1.1, ${connections} connections, ${bodyBytes} B`, client: "http/1.1", connections, bodyBytes };
}

const VARIED: Scenario = { ...http1(64, 130), name: "HTTP/1.1, 64 connections, 130 B, all different", varied: true };

const H2C: Scenario = {
  name: "HTTP/2, 4 connections of 16 streams, 130 B",
  client: "h2c",
  connections: 4,
  bodyBytes: 130,
};

const GRPC: Scenario = {
  name: "gRPC unary, 4 connections of 16 streams, 130 B",
  client: "grpc",
  connections: 4,
  bodyBytes: 130,
};

/** A rate that every contender carries with ease: what is measured is what it adds, not what it can take. */
export const OPEN_LOOP = { requestsPerSecond: 2_000, connections: 64, bodyBytes: 130 } as const;

const ALL: readonly Scenario[] = [
  ...CONNECTIONS.flatMap((count) => BODIES.map((bytes) => http1(count, bytes))),
  VARIED,
  H2C,
  GRPC,
];

export const PLANS = {
  /** Some minutes: the figures that move first. */
  quick: { rounds: 3, seconds: 1, warmUpSeconds: 2, scenarios: [http1(64, 130), VARIED, http1(1, 130), GRPC] },
  /** About ten minutes. */
  standard: { rounds: 3, seconds: 1, warmUpSeconds: 3, scenarios: ALL },
  /** About an hour: for figures that are published. */
  full: { rounds: 7, seconds: 3, warmUpSeconds: 5, scenarios: ALL },
} as const satisfies Record<string, Plan>;

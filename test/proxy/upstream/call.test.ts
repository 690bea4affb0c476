/** Calls against servers that misbehave on cue: where attempts go, what is sent again, and that nothing is left behind. */

import { afterEach, describe, expect, test } from "bun:test";
import type { HeaderList, RequestHead, ResponseHead } from "../../../src/proxy/codec/message.ts";
import type { Limits } from "../../../src/proxy/limits.ts";
import { type Runtime, systemRuntime } from "../../../src/proxy/runtime.ts";
import { UpstreamCall } from "../../../src/proxy/upstream/call.ts";
import type { CallFailure, CallOwner, CallPlan } from "../../../src/proxy/upstream/call-plan.ts";
import type { EndpointState } from "../../../src/proxy/upstream/member.ts";
import { Pool } from "../../../src/proxy/upstream/pool.ts";
import { RetryBudget } from "../../../src/proxy/upstream/retry-budget.ts";
import { formatFlags } from "../../../src/telemetry/response-flags.ts";
import { eventually } from "../../support/mesh.ts";
import { type ScriptedServer, scriptedServer } from "../../support/scripted-server.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/** Who calls: notes all that it is told. */
class Owner implements CallOwner {
  readonly events: string[] = [];
  body = "";
  failure: CallFailure | undefined;

  upstreamInformational({ status }: ResponseHead): void {
    this.events.push(`informational ${status}`);
  }

  upstreamHead({ status }: ResponseHead, end: boolean): void {
    this.events.push(`head ${status}`);
    if (end) this.events.push("end");
  }

  upstreamData(chunk: Uint8Array, end: boolean): void {
    this.body += Buffer.from(chunk).toString("latin1");
    if (end) this.events.push("end");
  }

  upstreamTrailers(trailers: HeaderList): void {
    this.events.push(`trailers ${trailers.join("=")}`, "end");
  }

  upstreamDrained(): void {}

  upstreamFailed(failure: CallFailure): void {
    this.failure = failure;
    this.events.push(`failed ${failure.fault} ${formatFlags(failure.flags)}`);
  }

  upstreamRetried(): void {
    this.events.push("retried");
  }

  async over(): Promise<string[]> {
    await eventually(() => expect(this.events.at(-1)).toMatch(/^(?:end|failed .*)$/), 4_000);
    return this.events;
  }
}

interface SetUp {
  readonly runtime: Runtime;
  readonly states: EndpointState[];
  readonly owner: Owner;
  call(retries?: Partial<NonNullable<CallPlan["retries"]>>): UpstreamCall;
  /** Heads as they were sent: the attempt of each. */
  readonly attempts: number[];
}

/** Endpoints in front of the servers, tried in their order. */
function setUp(
  servers: readonly ScriptedServer[],
  limits: Partial<Limits> = {},
  plan: Pick<CallPlan, "isRetry"> = {},
): SetUp {
  const runtime = systemRuntime(limits);
  const states = servers.map(({ port }, index): EndpointState => {
    const address = { host: "127.0.0.1", port };
    const pool = new Pool({ address, runtime, protocol: "http/1.1" });
    return { endpoint: { instance: `e${index}`, ...address, labels: {} }, pool, active: 0 };
  });
  open.push(...servers, ...states.map(({ pool }) => pool));
  const owner = new Owner();
  const attempts: number[] = [];
  return {
    runtime,
    states,
    owner,
    attempts,
    call: (retries) =>
      new UpstreamCall(
        runtime,
        {
          pick: (tried) => states.find((state) => !tried.includes(state)) ?? states[0],
          retries:
            retries === undefined
              ? undefined
              : { attempts: 3, on: ["5xx"], budget: { percent: 100, minPerSecond: 100 }, ...retries },
          budget: new RetryBudget(0),
          ...plan,
          head(head, attempt) {
            attempts.push(attempt);
            return head;
          },
        },
        owner,
      ),
  };
}

function head(method: string, contentLength: number | "chunked" = 0): RequestHead {
  const fixed = {
    path: "/",
    authority: "x",
    scheme: "http",
    absoluteForm: false,
    upgrade: undefined,
    expectContinue: false,
  };
  const length = contentLength === "chunked" ? undefined : contentLength;
  return { method, ...fixed, headers: [], contentLength: length, version: "1.1" };
}

/** No load is counted, nobody waits, and at most `connections` stay open, none of them in use. */
async function nothingLeft(states: readonly EndpointState[], connections: number): Promise<void> {
  await eventually(() => {
    expect(states.map(({ active }) => active)).toEqual(states.map(() => 0));
    expect(states.map(({ pool }) => pool.pending)).toEqual(states.map(() => 0));
    expect(states.reduce((sum, { pool }) => sum + pool.size, 0)).toBeLessThanOrEqual(connections);
  }, 4_000);
}

describe("attempts", () => {
  test("go to other endpoints, until one answers", async () => {
    const [bad, worse, good] = [scriptedServer(unavailable), scriptedServer("close"), scriptedServer(OK)];
    const { call, owner, states, attempts } = setUp([bad, worse, good]);
    const made = call({});
    made.sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "retried", "head 200", "end"]);
    expect(attempts).toEqual([1, 2, 3]);
    expect(made.endpoint).toBe(states[2] as EndpointState);
    await nothingLeft(states, 2);
  });

  test("end when policy says so: the last answer goes through, whatever it is", async () => {
    const server = scriptedServer(unavailable);
    const { call, owner, states } = setUp([server]);
    const made = call({ attempts: 2 });
    made.sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "retried", "head 503", "end"]);
    expect([server.requests.length, formatFlags(made.flags)]).toEqual([3, "URX"]);
    await nothingLeft(states, 1);
  });

  test("end when the budget is spent", async () => {
    const server = scriptedServer(unavailable);
    const { call, owner } = setUp([server]);
    call({ budget: { percent: 0, minPerSecond: 0 } }).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["head 503", "end"]);
    expect(server.requests).toHaveLength(1);
  });

  test("take no longer than each may", async () => {
    const [mute, good] = [scriptedServer("nothing"), scriptedServer(OK)];
    const { call, owner, states } = setUp([mute, good]);
    call({ perTryTimeoutMs: 50 }).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
    await nothingLeft(states, 1);
  });

  test("all of which run out of time: UT and URX, once", async () => {
    const { call, owner, states } = setUp([scriptedServer("nothing"), scriptedServer("nothing")]);
    call({ attempts: 1, perTryTimeoutMs: 40 }).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "failed per_try_timeout URX,UT"]);
    await Bun.sleep(80);
    expect(owner.events).toHaveLength(2);
    await nothingLeft(states, 0);
  });

  test("without policy there is one, and its failure is told by name", async () => {
    const cases = [
      ["close", "failed upstream_reset UC"],
      ["nonsense\r\n\r\n", "failed upstream_protocol_error UPE"],
    ] as const;
    for (const [script, event] of cases) {
      const { call, owner, states } = setUp([scriptedServer(script)]);
      call().sendHead(head("GET"), true);
      expect(await owner.over()).toEqual([event]);
      await nothingLeft(states, 0);
    }
    const gone = scriptedServer(OK);
    const { call, owner, states } = setUp([gone]);
    gone.close();
    call().sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["failed connect_failure UF"]);
    expect(owner.failure?.details).toBe("upstream_reset_before_response_started{connection_failure,econnrefused}");
    await nothingLeft(states, 0);
  });

  test("that have nowhere to go: UH, at once", () => {
    const { call, owner } = setUp([]);
    call({}).sendHead(head("GET"), true);
    expect(owner.events).toEqual(["failed no_healthy_upstream UH"]);
  });

  test("an endpoint that leaves before it was reached is no failure: another takes the call, and no attempt is spent", async () => {
    const [leaving, good] = [scriptedServer(OK), scriptedServer(OK)];
    const { call, owner, states, attempts } = setUp([leaving, good]);
    call().sendHead(head("GET"), true);
    states[0]?.pool.close();
    expect(await owner.over()).toEqual(["head 200", "end"]);
    expect([leaving.requests.length, good.requests.length, attempts]).toEqual([0, 1, [1]]);
    await nothingLeft(states, 1);
  });
});

describe("the body", () => {
  test("is sent again, with all that came before and after the failure", async () => {
    const [bad, good] = [scriptedServer(unavailable), scriptedServer(OK)];
    const { call, owner, states } = setUp([bad, good]);
    const made = call({});
    made.sendHead(head("POST", 9), false);
    made.sendData(Buffer.from("one"), false);
    await eventually(() => expect(owner.events).toContain("retried"));
    made.sendData(Buffer.from("two"), false);
    await eventually(() => expect(good.requests[0]?.body).toBe("onetwo"));
    made.sendData(Buffer.from("end"), true);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
    expect(good.requests[0]?.body).toBe("onetwoend");
    await nothingLeft(states, 1);
  });

  test("with trailers is sent again with its trailers", async () => {
    const [bad, good] = [scriptedServer(unavailable), scriptedServer(OK)];
    const { call, owner } = setUp([bad, good]);
    const made = call({});
    made.sendHead(head("POST", "chunked"), false);
    made.sendData(Buffer.from("body"), false);
    made.sendTrailers(["x-sum", "17"]);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
    await eventually(() => expect(good.requests[0]?.body).toBe("4\r\nbody\r\n0\r\nx-sum: 17\r\n\r\n"));
  });

  test("beyond the bound is not kept, and the call not repeated", async () => {
    const server = scriptedServer(unavailable);
    const { call, owner } = setUp([server, scriptedServer(OK)], { replayBytesMax: 10 });
    const made = call({});
    made.sendHead(head("POST", 11), false);
    made.sendData(Buffer.from("elevenbytes"), true);
    expect(await owner.over()).toEqual(["head 503", "end"]);
  });

  test("up to the bound is kept", async () => {
    const [bad, good] = [scriptedServer(unavailable), scriptedServer(OK)];
    const { call, owner } = setUp([bad, good], { replayBytesMax: 10 });
    const made = call({});
    made.sendHead(head("POST", 10), false);
    made.sendData(Buffer.from("ten bytes!"), true);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
    expect(good.requests[0]?.body).toBe("ten bytes!");
  });
});

describe("the race of keep-alive", () => {
  /** A connection that has served, and that the server closes under the next request. */
  async function raced(method: string): Promise<{ events: string[]; requests: number; states: EndpointState[] }> {
    const server = scriptedServer(OK, "close", OK);
    const { call, owner, states } = setUp([server]);
    call().sendHead(head("GET"), true);
    await owner.over();
    owner.events.length = 0;
    call().sendHead(head(method), true);
    return { events: await owner.over(), requests: server.requests.length, states };
  }

  test("costs a request that may be repeated nothing", async () => {
    const { events, requests, states } = await raced("GET");
    expect([events, requests]).toEqual([["head 200", "end"], 3]);
    await nothingLeft(states, 1);
  });

  test("is a failure of one that may not: the server could have died of it", async () => {
    const { events, requests, states } = await raced("POST");
    expect([events, requests]).toEqual([["failed upstream_reset UC"], 2]);
    await nothingLeft(states, 0);
  });
});

test("after the head, a failure is told as one: there is no second response", async () => {
  const server = scriptedServer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", OK);
  const { call, owner, states } = setUp([server]);
  call({}).sendHead(head("GET"), true);
  await eventually(() => expect(owner.body).toBe("half"));
  server.closeConnections();
  expect(await owner.over()).toEqual(["head 200", "failed upstream_reset UC"]);
  expect(server.requests).toHaveLength(1);
  await nothingLeft(states, 0);
});

describe("cancelled, nothing is left and nothing more is told", () => {
  const moments: [name: string, script: string, until: (server: ScriptedServer, owner: Owner) => void][] = [
    ["while it waits for a connection", OK, () => {}],
    ["while it waits for an answer", "nothing", (server) => expect(server.requests).toHaveLength(1)],
    [
      "within the answer",
      "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
      (_server, owner) => expect(owner.body).toBe("half"),
    ],
  ];
  for (const [name, script, until] of moments) {
    test(name, async () => {
      const server = scriptedServer(script);
      const { call, owner, states } = setUp([server]);
      const made = call({ perTryTimeoutMs: 5_000 });
      made.sendHead(head("GET"), true);
      if (name !== "while it waits for a connection") await eventually(() => until(server, owner));
      const before = [...owner.events];
      made.cancel();
      made.cancel();
      await nothingLeft(states, name === "while it waits for an answer" || name === "within the answer" ? 0 : 1);
      await Bun.sleep(60);
      expect(owner.events).toEqual(before);
    });
  }

  test("between attempts", async () => {
    const server = scriptedServer(unavailable);
    const { call, owner, states } = setUp([server]);
    const made = call({});
    owner.upstreamRetried = () => queueMicrotask(() => made.cancel());
    made.sendHead(head("GET"), true);
    await eventually(() => expect(server.requests).toHaveLength(1));
    await nothingLeft(states, 1);
    await Bun.sleep(60);
    expect([owner.events, server.requests.length]).toEqual([[], 1]);
  });
});

describe("what the server says of another attempt", () => {
  const later = (seconds: string): string =>
    `HTTP/1.1 503 Service Unavailable\r\nretry-after: ${seconds}\r\ncontent-length: 0\r\n\r\n`;

  test("Retry-After is waited for, and one that asks for too long ends it", async () => {
    const [busy, good] = [scriptedServer(later("1")), scriptedServer(OK)];
    const { call, owner } = setUp([busy, good]);
    const startedMs = performance.now();
    call({}).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1_000);

    const [closed, other] = [scriptedServer(later("3600")), scriptedServer(OK)];
    const refused = setUp([closed, other]);
    refused.call({}).sendHead(head("GET"), true);
    expect(await refused.owner.over()).toEqual(["head 503", "end"]);
    expect(other.requests).toHaveLength(0);
  });

  test("a gRPC status alone is retried where a rule names it, and otherwise goes through", async () => {
    const status = "HTTP/1.1 200 OK\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n";
    const named = setUp([scriptedServer(status), scriptedServer(OK)]);
    named.call({ on: ["unavailable"] }).sendHead(head("POST"), true);
    expect(await named.owner.over()).toEqual(["retried", "head 200", "end"]);

    const unnamed = setUp([scriptedServer(status), scriptedServer(OK)]);
    unnamed.call({ on: ["internal", "5xx"] }).sendHead(head("POST"), true);
    expect(await unnamed.owner.over()).toEqual(["head 200", "end"]);
  });
});

describe("a request that repeats another", () => {
  test("is not repeated where the service worked on it", async () => {
    const [bad, good] = [scriptedServer(unavailable), scriptedServer(OK)];
    const { call, owner } = setUp([bad, good], {}, { isRetry: true });
    call({}).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["head 503", "end"]);
    expect(good.requests).toHaveLength(0);
  });

  test("is repeated where nothing was done", async () => {
    const [gone, good] = [scriptedServer(OK), scriptedServer(OK)];
    const { call, owner } = setUp([gone, good], {}, { isRetry: true });
    gone.close();
    call({}).sendHead(head("GET"), true);
    expect(await owner.over()).toEqual(["retried", "head 200", "end"]);
  });
});

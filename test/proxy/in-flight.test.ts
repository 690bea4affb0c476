import { describe, expect, test } from "bun:test";
import { InFlight } from "../../src/proxy/in-flight.ts";
import { RequestRecord } from "../../src/telemetry/request-record.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";

function request(requestId: string | undefined, trace?: string): RequestRecord {
  const record = new RequestRecord();
  record.requestId = requestId;
  if (trace !== undefined) record.traceparent = `00-${trace}-b7ad6b7169203331-01`;
  return record;
}

describe("terms of a call that the application makes for a request", () => {
  test("are found by the request's id, else by its trace, and gone with it", () => {
    let nowMs = 1_000;
    const inFlight = new InFlight(() => nowMs);
    const incoming = request("a", TRACE);
    inFlight.began(incoming, { timeoutMs: 500, attempt: 2 });
    nowMs += 100;
    const none = { timeoutMs: undefined, attempt: 1 };
    expect(inFlight.termsOf(request("a"), undefined)).toEqual({ timeoutMs: 400, attempt: 2 });
    expect(inFlight.termsOf(request("b", TRACE), 50)).toEqual({ timeoutMs: 50, attempt: 2 });
    expect(inFlight.termsOf(request(TRACE), undefined)).toEqual(none);
    inFlight.ended(incoming, false);
    expect(inFlight.termsOf(request("a", TRACE), undefined)).toEqual(none);
  });

  test("are the most patient ones where several requests share an id", () => {
    const inFlight = new InFlight(() => 0);
    const short = request("a");
    const long = request("a");
    inFlight.began(short, { timeoutMs: 100, attempt: 3 });
    inFlight.began(long, { timeoutMs: 900, attempt: 2 });
    expect(inFlight.termsOf(request("a"), undefined)).toEqual({ timeoutMs: 900, attempt: 2 });
    inFlight.ended(long, false);
    expect(inFlight.termsOf(request("a"), undefined)).toEqual({ timeoutMs: 100, attempt: 3 });
  });

  test("are over at once where the caller has gone", () => {
    let nowMs = 0;
    const inFlight = new InFlight(() => nowMs);
    const incoming = request("a", TRACE);
    inFlight.began(incoming, { timeoutMs: 60_000, attempt: 1 });
    inFlight.ended(incoming, true);
    expect(inFlight.termsOf(request("a"), undefined).timeoutMs).toBe(1);
    expect(inFlight.termsOf(request(undefined, TRACE), undefined).timeoutMs).toBe(1);
    nowMs += 31_000;
    inFlight.began(request("b"), { timeoutMs: 100, attempt: 1 });
    expect(inFlight.termsOf(request("a", TRACE), undefined).timeoutMs).toBeUndefined();
  });

  test("are remembered however many requests came without any id", () => {
    const inFlight = new InFlight(() => 0);
    for (let count = 0; count < 70_000; count++) inFlight.began(request(undefined), { timeoutMs: 100, attempt: 1 });
    inFlight.began(request("a"), { timeoutMs: 100, attempt: 1 });
    expect(inFlight.termsOf(request("a"), undefined).timeoutMs).toBe(100);
  });
});

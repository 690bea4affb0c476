/** Shares, over real hops: copies and failures on purpose come to the part of the requests that policy names. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { openToWeb, routeDocument } from "../../support/policy.ts";
import { RawClient } from "../../support/raw-client.ts";
import { TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
${openToWeb("catalog")}${routeDocument(
  "catalog",
  `
- match: [{ headers: { x-rule: { exact: abort } } }]
  fault: { abort: { status: 418, percent: 10 } }
- match: [{ headers: { x-rule: { exact: delay } } }]
  fault: { delay: { fixed: 1ms, percent: 25 } }
- match: [{ headers: { x-rule: { exact: mirror } } }]
  mirror: { percent: 20 }
`,
)}`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

const CONNECTIONS = 8;
/** Requests that are sent at once, one behind the other. */
const BATCH = 50;

/** Makes so many requests that meet a rule; what came back, as text. */
async function called(rule: string, calls: number): Promise<string> {
  const request = `GET /status?code=204 HTTP/1.1\r\nHost: catalog\r\nX-Rule: ${rule}\r\n\r\n`;
  const texts = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      let text = "";
      for (let done = 0; done < calls / CONNECTIONS; done += BATCH) {
        const client = await RawClient.connect(hops.outboundPort);
        client.send(request.repeat(BATCH));
        text += await eventually(() => {
          if (occurrences(client.text, "HTTP/1.1 ") === BATCH) return client.text;
          throw new Error(`${occurrences(client.text, "HTTP/1.1 ")} of ${BATCH} answered: ${client.text.slice(-300)}`);
        }, 45_000);
        client.close();
      }
      return text;
    }),
  );
  const text = texts.join("");
  expect(occurrences(text, "HTTP/1.1 ")).toBe(calls);
  return text;
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** Within five standard deviations of a binomial distribution: one run in two million is outside. */
function expectShare(count: number, calls: number, share: number): void {
  expect(Math.abs(count - calls * share)).toBeLessThan(5 * Math.sqrt(calls * share * (1 - share)));
}

/** The sum of a counter's values whose labels hold `part`. */
async function counted(name: string, part = ""): Promise<number> {
  const lines = (await hops.metrics()).split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(part));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

test("one request in ten fails on purpose, one in four is late, one in five is copied", async () => {
  const aborted = occurrences(await called("abort", 2_000), "HTTP/1.1 418");
  expectShare(aborted, 2_000, 0.1);
  expect(await counted("heddle_faults_injected_total", 'kind="abort"')).toBe(aborted);

  await called("delay", 2_000);
  expectShare(await counted("heddle_faults_injected_total", 'kind="delay"'), 2_000, 0.25);

  await called("mirror", 2_000);
  await eventually(async () => {
    const [clusters] = await hops.clusters();
    expect(clusters?.endpoints[0]?.activeRequests).toBe(0);
  });
  expectShare(await counted("heddle_mirrored_requests_total"), 2_000, 0.2);
}, 120_000);

/** HTTP clients on Node with connections that they keep: `node:http`, and undici behind `fetch`. Arguments: port. */

import { createHash, randomInt } from "node:crypto";
import http from "node:http";
import { answerQuestions } from "./answering.mjs";

const [port] = process.argv.slice(2);

/** One request by `node:http`; resolves with the text of the body. */
function ask(agent, method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, method, path, agent, headers: { host: "app" } });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
    });
    request.end(body);
  });
}

function tally(failures, count) {
  return { answered: count - failures.length, failures: failures.slice(0, 5) };
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

const kinds = {
  /** `count` requests by `workers` loops, small and large, some given up on the way, over sockets used again. */
  async agent({ count, workers }) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: workers, maxFreeSockets: Math.ceil(workers / 4) });
    const failures = [];
    let left = count;
    const work = async () => {
      while (left-- > 0) {
        const body = Buffer.alloc(randomInt(0, 3) === 0 ? randomInt(100_000) : randomInt(2_000), "b");
        try {
          const answer = await ask(agent, "POST", "/digest", body);
          const { sha256: digest } = JSON.parse(answer.body.toString());
          if (answer.status !== 200 || digest !== sha256(body)) failures.push(`${answer.status} ${body.length}`);
        } catch (error) {
          failures.push(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
    agent.destroy();
    return tally(failures, count);
  },
  /** The same by `fetch`, with every tenth given up while its response is coming. */
  async fetch({ count, workers }) {
    const failures = [];
    let left = count;
    const work = async () => {
      while (left-- > 0) {
        const giveUp = left % 10 === 0;
        const path = giveUp ? "/drip?pieces=500" : `/stream?bytes=${randomInt(200_000)}`;
        try {
          const controller = new AbortController();
          const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: controller.signal });
          if (giveUp) {
            await response.body.getReader().read();
            controller.abort();
          } else if ((await response.bytes()).length !== Number(path.split("=")[1])) failures.push(path);
        } catch (error) {
          failures.push(`${path}: ${error} ${error.cause ?? ""}`);
        }
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
    return tally(failures, count);
  },
};

console.log("ready");
answerQuestions(kinds);

/** A WebSocket client on Node and ws: answers with what became of a conversation. Arguments: URL, host. */

import { once } from "node:events";
import WebSocket from "ws";
import { answerQuestions } from "./answering.mjs";

const [url, host] = process.argv.slice(2);

async function open(options = {}) {
  const socket = new WebSocket(url, { headers: { host }, ...options });
  const messages = [];
  const waiting = [];
  socket.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    const next = waiting.shift();
    if (next === undefined) messages.push(message);
    else next(message);
  });
  socket.next = () => (messages.length > 0 ? messages.shift() : new Promise((resolve) => waiting.push(resolve)));
  await once(socket, "open");
  return socket;
}

async function close(socket, ...reason) {
  const closed = once(socket, "close");
  socket.close(...reason);
  const [code, words] = await closed;
  return { code, words: words.toString() };
}

const kinds = {
  async echo({ sizes, compress }) {
    const socket = await open({ perMessageDeflate: compress });
    const same = [];
    for (const size of sizes) {
      const message = Buffer.alloc(size, "0123456789");
      socket.send(message);
      same.push(Buffer.compare(await socket.next(), message) === 0);
    }
    return { same, extensions: socket.extensions, ...(await close(socket, 1000)) };
  },
  async headers() {
    const socket = await open();
    socket.send("headers");
    const headers = JSON.parse(await socket.next());
    await close(socket);
    return headers;
  },
  async pings() {
    const socket = await open();
    socket.ping("from the client");
    const [payload] = await once(socket, "pong");
    socket.send("ping");
    const heard = await socket.next();
    await close(socket);
    return { payload: payload.toString(), heard };
  },
  /** The server closes with `code`. */
  async closedByServer({ code }) {
    const socket = await open();
    const closed = once(socket, "close");
    socket.send(`close ${code}`);
    const [received, words] = await closed;
    return { code: received, words: words.toString() };
  },
  /** We close; the next connection hears what the server heard. */
  async closedByClient({ code, words }) {
    await close(await open(), code, words);
    const socket = await open();
    let heard;
    // The server may be told of the end a moment after us.
    do {
      socket.send("last closed");
      heard = JSON.parse(await socket.next());
    } while (heard.code !== code);
    await close(socket);
    return heard;
  },
  async vanish() {
    const socket = await open();
    const closed = once(socket, "close");
    socket.send("vanish");
    const [code] = await closed;
    return { code };
  },
  /** `count` sockets at once, `rounds` messages each. */
  async many({ count, rounds }) {
    const sockets = await Promise.all(Array.from({ length: count }, () => open()));
    let same = 0;
    await Promise.all(
      sockets.map(async (socket, index) => {
        for (let round = 0; round < rounds; round++) {
          socket.send(`${index}/${round}`);
          if ((await socket.next()) === `${index}/${round}`) same++;
        }
        await close(socket);
      }),
    );
    return same;
  },
  async refused() {
    const socket = new WebSocket(url, { headers: { host: "nowhere" } });
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    return { status: response.statusCode, server: response.headers.server };
  },
};

console.log("ready");
answerQuestions(kinds);

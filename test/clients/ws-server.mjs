/** A WebSocket server on Node and ws: echoes messages. Prints its port. */

import { WebSocketServer } from "ws";

/** How the last connection to end was closed. */
let lastClosed;

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
server.on("connection", (socket, request) => {
  socket.on("message", (message, isBinary) => {
    const text = isBinary ? "" : message.toString();
    if (text.startsWith("close ")) socket.close(Number(text.slice("close ".length)), "as you asked");
    else if (text === "headers") socket.send(JSON.stringify(request.headers));
    else if (text === "ping") socket.ping("from the server");
    else if (text === "last closed") socket.send(JSON.stringify(lastClosed));
    else if (text === "vanish") socket.terminate();
    else socket.send(message, { binary: isBinary });
  });
  socket.on("pong", (payload) => socket.send(`pong ${payload}`));
  socket.on("close", (code, reason) => {
    lastClosed = { code, reason: reason.toString() };
  });
});
server.on("listening", () => console.log(server.address().port));
process.stdin.on("close", () => process.exit(0)).resume();

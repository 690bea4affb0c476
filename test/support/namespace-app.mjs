/**
 * Programs that know nothing of a mesh, for hosts of `namespaces.ts`: servers and a client on plain sockets.
 *
 *   serve http|greeter|udp <port>     answers with the request; greets first, then echoes in capitals; echoes
 *   serve tls <port> <certificate> <key>     greets in TLS
 *   relay <address> <port> <path>     carries connections to a socket in the file system
 *   http <url> | tcp <host> <port> [text] | udp <host> <port> <text>     prints what came back, as JSON
 *   tls <host> <port>     asks for the host by its name; prints what came back, and whose certificate it saw
 */

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createConnection, createServer as createTcpServer } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";

const [, , command, ...args] = process.argv;
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const ready = () => process.stdout.write("ready\n");

function serve(kind, port, certificate, key) {
  switch (kind) {
    case "http":
      createServer((incoming, outgoing) => {
        const { method, url, headers } = incoming;
        outgoing.end(JSON.stringify({ method, url, headers }));
      }).listen(port, "::", ready);
      break;
    case "greeter":
      createTcpServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => {});
        socket.write("hello\n");
        socket.on("data", (chunk) => socket.write(chunk.toString().toUpperCase()));
        socket.on("end", () => socket.end());
      }).listen(port, "::", ready);
      break;
    case "tls":
      createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (socket) => {
        socket.on("error", () => {});
        socket.end("hello");
      }).listen(port, "::", ready);
      break;
    case "udp": {
      const socket = createSocket({ type: "udp4" });
      socket.on("message", (message, { port: from, address }) => socket.send(message, from, address));
      socket.bind(port, ready);
    }
  }
}

function relay(host, port, path) {
  createTcpServer((socket) => {
    const onward = createConnection(path);
    for (const end of [socket, onward]) end.on("error", () => [socket, onward].map((one) => one.destroy()));
    socket.pipe(onward).pipe(socket);
  }).listen(port, host, ready);
}

function callHttp(url) {
  const outgoing = request(url, (incoming) => {
    let body = "";
    incoming.on("data", (chunk) => (body += chunk));
    incoming.on("end", () => print({ status: incoming.statusCode, headers: incoming.headers, body }));
  });
  outgoing.on("error", ({ code }) => print({ error: code }));
  outgoing.end();
}

/** Waits for the server's first word before it says its own, and then for the server's end. */
function callTcp(host, port, text) {
  let received = "";
  const socket = createConnection({ host, port, allowHalfOpen: true });
  socket.on("data", (chunk) => {
    if (received === "" && text !== undefined) socket.end(text);
    received += chunk;
  });
  socket.on("end", () => {
    print({ received });
    process.exit();
  });
  socket.on("error", ({ code }) => {
    print({ received, error: code });
    process.exit();
  });
}

function callTls(host, port) {
  let received = "";
  let fingerprint;
  const socket = connectTls({ host, port, servername: host, rejectUnauthorized: false });
  socket.on("secureConnect", () => (fingerprint = socket.getPeerCertificate().fingerprint256));
  socket.on("data", (chunk) => (received += chunk));
  socket.on("end", () => print({ received, fingerprint }));
  socket.on("error", ({ code }) => {
    print({ received, error: code });
    process.exit();
  });
}

function callUdp(host, port, text) {
  const socket = createSocket("udp4");
  socket.on("message", (message) => {
    print({ received: message.toString() });
    socket.close();
  });
  socket.send(text, port, host);
}

switch (command) {
  case "serve":
    serve(args[0], Number(args[1]), args[2], args[3]);
    break;
  case "relay":
    relay(args[0], Number(args[1]), args[2]);
    break;
  case "http":
    callHttp(args[0]);
    break;
  case "tcp":
    callTcp(args[0], Number(args[1]), args[2]);
    break;
  case "tls":
    callTls(args[0], Number(args[1]));
    break;
  case "udp":
    callUdp(args[0], Number(args[1]), args[2]);
}

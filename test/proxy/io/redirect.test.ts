/** What is spoken on a redirected connection: told by where it was going, else by its first bytes. */

import { afterEach, expect, test } from "bun:test";
import type { AcceptRequest, Redirect } from "../../../src/proxy/io/downstream.ts";
import { type Listener, listenPlain } from "../../../src/proxy/io/listener.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { helloMessage, nameEntry, record, serverName } from "../../support/client-hello.ts";
import { RawClient } from "../../support/raw-client.ts";

const open: Listener[] = [];
afterEach(() => {
  for (const listener of open.splice(0)) listener.close();
});

const destination = { host: "fd77::9", port: 25 };
const service = { service: "shop/mail", authority: "mail.shop.mesh.local" } as const;
const UNKNOWN: Redirect = { destination, service: undefined, protocol: undefined };

/** Answers with what was asked, then with what follows, and ends when its peer does. */
const echo: AcceptRequest = () => ({
  accept: (stream) => ({
    onHead(head, end) {
      stream.sendHead({ status: 200, headers: [], contentLength: undefined, version: "1.1" }, false);
      stream.sendData(Buffer.from(`[${head.method} ${head.authority}]`), end);
    },
    onInformational() {},
    onData: (chunk, end) => void stream.sendData(chunk, end),
    onTrailers() {},
    onDrain() {},
    onFault() {},
  }),
  unreadable() {},
});

function connect(redirect: Redirect, protocolDetectionTimeoutMs = 10_000): Promise<RawClient> {
  const runtime = systemRuntime({ protocolDetectionTimeoutMs });
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listenPlain({ address, runtime, accept: echo, redirect: () => redirect });
  open.push(listener);
  return RawClient.connect(listener.address.port);
}

test("on the way to a tcp service, the server may speak before a byte came", async () => {
  const client = await connect({ destination, service, protocol: "tcp" });
  await client.until("[CONNECT mail.shop.mesh.local]");
  client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await client.until("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  client.close();
});

test("on the way to an http service, what is no HTTP is refused", async () => {
  const client = await connect({ destination, service, protocol: "http/1.1" });
  client.send("\x01\x03\x01 hello\r\n\r\n");
  expect(await client.untilEnded()).toStartWith("HTTP/1.1 400");
  // TLS, in an alert of its own: unexpected_message.
  const other = await connect({ destination, service, protocol: "http/1.1" });
  other.send("\x16\x03\x01 hello");
  expect(await other.untilEnded()).toBe("\x15\x03\x03\x00\x02\x02\x0a");
});

test("on the way to somebody unknown, HTTP is known by its first line", async () => {
  const client = await connect(UNKNOWN);
  for (const piece of ["G", "ET / HTTP/1", ".1\r\nhost: catalog\r\n\r\n"]) {
    client.send(piece);
    await Bun.sleep(5);
  }
  expect(await client.until("[GET catalog]")).toStartWith("HTTP/1.1 200");
  client.close();
});

test("TLS is for whom its server name says, at the port it was going to", async () => {
  const client = await connect(UNKNOWN);
  const hello = record(helloMessage([serverName(nameEntry("mail.example"))])).toString("latin1");
  for (const piece of [hello.slice(0, 3), hello.slice(3, 50), hello.slice(50)]) {
    client.send(piece);
    await Bun.sleep(5);
  }
  expect(await client.until(hello)).toBe(`[CONNECT mail.example:25]${hello}`);
  client.close();
});

test.each([
  ["at once", ["\x16\x02\x01\x02\x00"]],
  ["TLS that no server could read", ["\x16\x03\x01\x00\x04\x02\x00\x00\x00"]],
  ["in a line of its own", ["EHLO there\r\n"]],
  ["byte by byte", [..."SET a b\r\n"]],
])("what is none is carried as it is: %s", async (_, pieces) => {
  const client = await connect(UNKNOWN);
  for (const piece of pieces) {
    client.send(piece);
    await Bun.sleep(2);
  }
  const all = pieces.join("");
  expect(await client.until(all)).toBe(`[CONNECT [fd77::9]:25]${all}`);
  client.close();
});

test("so is what ends before it could tell what it is", async () => {
  const client = await connect(UNKNOWN);
  client.send("PING");
  client.halfClose();
  expect(await client.untilEnded()).toBe("[CONNECT [fd77::9]:25]PING");
});

test("who says nothing that tells is taken for one who waits for the server", async () => {
  const silent = await connect(UNKNOWN, 50);
  await silent.until("[CONNECT [fd77::9]:25]");
  silent.close();
  const vague = await connect(UNKNOWN, 50);
  vague.send("HELO");
  expect(await vague.until("HELO")).toBe("[CONNECT [fd77::9]:25]HELO");
  vague.close();
});

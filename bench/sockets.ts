/**
 * Two hops of nothing but the runtime's sockets: bytes that come in at the first, go over one mutual TLS connection and
 * come out at the second, in frames of our own and gathered per turn as our sidecars do it. No HTTP is read, nothing
 * is decided, routed or counted: what is left is what no proxy on this runtime can spare.
 */

import type { Socket } from "bun";
import type { Identity } from "./certificates.ts";

const HEADER_BYTES = 8;
/** A turn's worth of one connection; grows where it must. */
const GATHER_BYTES = 16 * 1024;

/** Gathers what is sent to one socket, and writes it at the end of the turn. */
class Gathered {
  static #queue: Gathered[] = [];

  static of(socket: Pick<Socket, "write" | "end">): Gathered {
    const made = new Gathered();
    made.connected(socket);
    return made;
  }

  #buffer = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #length = 0;
  #queued = false;

  /** Undefined until it is connected; what comes before waits. */
  socket: Pick<Socket, "write" | "end"> | undefined;

  connected(socket: Pick<Socket, "write" | "end">): void {
    this.socket = socket;
    this.flush();
  }

  frame(id: number, chunk: Buffer): void {
    this.#reserve(HEADER_BYTES);
    this.#buffer.writeUInt32BE(id, this.#length);
    this.#buffer.writeUInt32BE(chunk.length, this.#length + 4);
    this.#length += HEADER_BYTES;
    this.bytes(chunk, 0, chunk.length);
  }

  bytes(chunk: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    chunk.copy(this.#buffer, this.#length, start, end);
    this.#length += end - start;
    if (this.#queued) return;
    this.#queued = true;
    if (Gathered.#queue.push(this) === 1) setImmediate(Gathered.#flushAll);
  }

  /** Writes what the socket takes; the rest waits for `drain`, or for what comes next. */
  flush(): void {
    this.#queued = false;
    if (this.socket === undefined || this.#length === 0) return;
    const taken = Math.max(0, this.socket.write(this.#buffer, 0, this.#length));
    this.#buffer.copyWithin(0, taken, this.#length);
    this.#length -= taken;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  static readonly #flushAll = (): void => {
    const queue = Gathered.#queue;
    Gathered.#queue = [];
    for (const one of queue) one.flush();
  };
}

type OnFrame = (id: number, bytes: Buffer, start: number, end: number) => void;

/** Reads frames; what is left of one waits for its rest. */
function frameReader(onFrame: OnFrame): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  return (chunk) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt32BE(at + 4);
      if (end > bytes.length) break;
      onFrame(bytes.readUInt32BE(at), bytes, at + HEADER_BYTES, end);
      at = end;
    }
    rest = at < bytes.length ? bytes.subarray(at) : undefined;
  };
}

function tlsOf({ certificate, key, roots }: Identity) {
  return { cert: Bun.file(certificate), key: Bun.file(key), ca: Bun.file(roots) };
}

/** Hop A: plain connections in, one mutual TLS connection out. */
function callerHop(port: number, between: number, identity: Identity): void {
  const clients = new Map<number, Gathered>();
  let opened = 0;
  const peer = new Gathered();
  const read = frameReader((id, bytes, start, end) => clients.get(id)?.bytes(bytes, start, end));
  void Bun.connect({
    hostname: "127.0.0.1",
    port: between,
    tls: { ...tlsOf(identity), rejectUnauthorized: false },
    socket: {
      handshake: (socket) => peer.connected(socket),
      data: (_socket, chunk) => read(chunk),
      drain: () => peer.flush(),
      close: () => process.exit(1),
    },
  });
  Bun.listen<number>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.data = opened++;
        clients.set(socket.data, Gathered.of(socket));
      },
      data: (socket, chunk) => peer.frame(socket.data, chunk),
      drain: (socket) => clients.get(socket.data)?.flush(),
      close(socket) {
        clients.delete(socket.data);
        peer.frame(socket.data, Buffer.alloc(0));
      },
    },
  });
}

interface Caller {
  readonly read: (chunk: Buffer) => void;
  readonly out: Gathered;
}

/** Hop B: mutual TLS in, for each of the caller's connections one to the application. */
function calledHop(between: number, application: number, identity: Identity): void {
  Bun.listen<Caller>({
    hostname: "127.0.0.1",
    port: between,
    tls: { ...tlsOf(identity), requestCert: true, rejectUnauthorized: true },
    socket: {
      open(socket) {
        const out = Gathered.of(socket);
        socket.data = { out, read: toApplication(application, out) };
      },
      data: (socket, chunk) => socket.data.read(chunk),
      drain: (socket) => socket.data.out.flush(),
    },
  });
}

function toApplication(port: number, caller: Gathered): (chunk: Buffer) => void {
  const connections = new Map<number, Gathered>();
  const connect = (id: number): Gathered => {
    const connection = new Gathered();
    connections.set(id, connection);
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => connection.connected(socket),
        data: (_socket, chunk) => caller.frame(id, chunk),
        drain: () => connection.flush(),
      },
    });
    return connection;
  };
  return frameReader((id, bytes, start, end) => {
    if (end > start) {
      (connections.get(id) ?? connect(id)).bytes(bytes, start, end);
      return;
    }
    connections.get(id)?.socket?.end();
    connections.delete(id);
  });
}

const [role, from, to, ...files] = process.argv.slice(2);
const [certificate = "", key = "", roots = ""] = files;
if (role === "caller") callerHop(Number(from), Number(to), { certificate, key, roots });
else calledHop(Number(from), Number(to), { certificate, key, roots });

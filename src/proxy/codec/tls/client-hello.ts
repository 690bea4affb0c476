/**
 * The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), read from the bytes that go on unchanged to
 * whoever ends the TLS. Nothing is decrypted, and nothing is believed but the name.
 */

/** What a connection's first bytes say, once all of the ClientHello is there. */
export type ClientHello =
  /** It is not whole yet: ask again with all bytes so far. */
  | { readonly kind: "more" }
  /** No TLS, or a hello that no server could read. */
  | { readonly kind: "invalid" }
  /** `serverName`: lower-case; undefined where the client names none, or none that could be a host. */
  | { readonly kind: "hello"; readonly serverName: string | undefined };

const HANDSHAKE_RECORD = 22;
const RECORD_HEADER_BYTES = 5;
/** Of one record in the clear (RFC 8446 §5.1). */
const RECORD_BYTES_MAX = 2 ** 14;
const CLIENT_HELLO = 1;
const HANDSHAKE_HEADER_BYTES = 4;
const SERVER_NAME = 0;
const HOST_NAME = 0;

const MORE: ClientHello = { kind: "more" };
const INVALID: ClientHello = { kind: "invalid" };

/** Whether these bytes can be the beginning of TLS: a handshake record of any version 3.x. */
export function beginsTls(bytes: Uint8Array): boolean {
  return bytes[0] === HANDSHAKE_RECORD && (bytes.length < 2 || bytes[1] === 3);
}

/** @param bytesMax of the whole hello; one that is longer is `invalid`. */
export function readClientHello(bytes: Uint8Array, bytesMax: number): ClientHello {
  const handshake = joinRecords(bytes, bytesMax);
  if (handshake === undefined) return INVALID;
  const [type] = handshake;
  if (type !== undefined && type !== CLIENT_HELLO) return INVALID;
  if (handshake.length < HANDSHAKE_HEADER_BYTES) return MORE;
  const length = uint(handshake, 1, 3);
  if (length > bytesMax) return INVALID;
  const end = HANDSHAKE_HEADER_BYTES + length;
  if (handshake.length < end) return MORE;
  return readHello(new Reader(handshake.subarray(HANDSHAKE_HEADER_BYTES, end)));
}

/** A hello may be spread over any number of records, and those over any number of reads. Undefined: no such records. */
function joinRecords(bytes: Uint8Array, bytesMax: number): Uint8Array | undefined {
  const fragments: Uint8Array[] = [];
  let joined = 0;
  for (let at = 0; at < bytes.length && joined <= bytesMax; ) {
    if (!beginsTls(bytes.subarray(at))) return undefined;
    if (bytes.length - at < RECORD_HEADER_BYTES) break;
    const length = uint(bytes, at + 3, 2);
    // An empty fragment is forbidden: any number of them would carry a hello nowhere.
    if (length === 0 || length > RECORD_BYTES_MAX) return undefined;
    const fragment = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
    fragments.push(fragment);
    joined += fragment.length;
    at += RECORD_HEADER_BYTES + length;
  }
  const [first] = fragments;
  return fragments.length === 1 && first !== undefined ? first : Buffer.concat(fragments);
}

function readHello(hello: Reader): ClientHello {
  // legacy_version and random.
  hello.skip(2 + 32);
  // legacy_session_id, cipher_suites, legacy_compression_methods.
  hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  if (hello.broken) return INVALID;
  // TLS 1.2 lets a client end here.
  if (hello.left === 0) return { kind: "hello", serverName: undefined };
  const extensions = hello.vector(2);
  if (hello.left > 0) return INVALID;
  let names: Reader | undefined;
  while (extensions.left > 0) {
    const type = extensions.uint(2);
    const content = extensions.vector(2);
    if (type !== SERVER_NAME) continue;
    if (names !== undefined) return INVALID;
    names = content;
  }
  if (hello.broken || extensions.broken) return INVALID;
  return names === undefined ? { kind: "hello", serverName: undefined } : readNames(names);
}

function readNames(extension: Reader): ClientHello {
  const list = extension.vector(2);
  let serverName: string | undefined;
  while (list.left > 0) {
    const type = list.uint(1);
    const name = list.vector(2);
    // One name of a type at most, so that no two readers can take different ones.
    if (type !== HOST_NAME || serverName !== undefined) return INVALID;
    serverName = name.text();
  }
  if (extension.broken || list.broken || extension.left > 0 || serverName === undefined) return INVALID;
  return { kind: "hello", serverName: hostName(serverName) };
}

/** A DNS name as RFC 6066 has it: ASCII, without a trailing dot, no address. */
function hostName(text: string): string | undefined {
  const lower = text.toLowerCase();
  return /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/.test(lower)
    ? lower
    : undefined;
}

function uint(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let index = 0; index < width; index++) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

/** Reads fields one after the other; once it was asked for more than there is, it is broken and has nothing left. */
class Reader {
  broken = false;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  skip(count: number): void {
    this.#take(count);
  }

  uint(width: number): number {
    return uint(this.#take(width), 0, width);
  }

  /** A vector whose length comes first, in `width` bytes. */
  vector(width: number): Reader {
    const content = new Reader(this.#take(this.uint(width)));
    content.broken = this.broken;
    return content;
  }

  text(): string {
    return Buffer.from(this.#take(this.left)).toString("latin1");
  }

  #take(count: number): Uint8Array {
    if (count > this.left) {
      this.broken = true;
      this.#at = this.#bytes.length;
      return this.#bytes.subarray(0, 0);
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}

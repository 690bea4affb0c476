/** TLS ClientHellos, put together by hand (RFC 8446 §4.1.2, RFC 6066 §3). */

export const vector = (width: number, content: Uint8Array): Buffer => {
  const length = Buffer.alloc(width);
  length.writeUIntBE(content.length, 0, width);
  return Buffer.concat([length, content]);
};
export const extension = (type: number, content: Uint8Array): Buffer =>
  Buffer.concat([Uint8Array.of(type >> 8, type & 255), vector(2, content)]);
export const nameEntry = (name: string, type = 0): Buffer =>
  Buffer.concat([Uint8Array.of(type), vector(2, Buffer.from(name, "latin1"))]);
export const serverName = (...entries: readonly Uint8Array[]): Buffer =>
  extension(0, vector(2, Buffer.concat(entries)));
export const record = (fragment: Uint8Array): Buffer => Buffer.concat([Uint8Array.of(22, 3, 1), vector(2, fragment)]);

/** The handshake message alone. */
export function helloMessage(extensions: readonly Uint8Array[] | undefined): Buffer {
  const hello = [
    Buffer.concat([Uint8Array.of(3, 3), Buffer.alloc(32, 7)]),
    vector(1, Buffer.alloc(32, 8)),
    vector(2, Uint8Array.of(0x13, 0x01)),
    vector(1, Uint8Array.of(0)),
    ...(extensions === undefined ? [] : [vector(2, Buffer.concat(extensions))]),
  ];
  return Buffer.concat([Uint8Array.of(1), vector(3, Buffer.concat(hello))]);
}

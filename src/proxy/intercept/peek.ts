/** The first byte of a connection, looked at and left where it is: whoever reads the connection finds it there. */

import type { Socket } from "bun";
import { loadLibc } from "./libc.ts";

const MSG_PEEK = 0x02;
const MSG_DONTWAIT = 0x40;

/** `nothing`: none has come yet; `end`: none will. The socket must be paused. */
export type Peek = (socket: Socket<unknown>) => number | "nothing" | "end";

/** Rejects where the C library cannot be loaded. */
export async function openPeek(): Promise<Peek> {
  const recv = await loadLibc(({ dlopen }, library) => {
    return dlopen(library, { recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" } } as const).symbols.recv;
  });
  const byte = new Uint8Array(1);
  return (socket) => {
    // The runtime's types leave the descriptor out.
    const { fd } = socket as unknown as { readonly fd: number };
    const count = Number(recv(fd, byte, 1, MSG_PEEK | MSG_DONTWAIT));
    if (count === 0) return "end";
    return count < 0 ? "nothing" : (byte[0] ?? 0);
  };
}

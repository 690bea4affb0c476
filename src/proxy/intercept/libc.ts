/**
 * Functions of the C library that the runtime has no name for, called by its foreign function interface: loaded here, and
 * only where somebody asks.
 */

/** glibc's name, then those under which musl has the same symbols. */
const LIBRARIES = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"];

/** Rejects where the C library cannot be loaded. */
export async function loadLibc<F>(load: (ffi: typeof import("bun:ffi"), library: string) => F): Promise<F> {
  const ffi = await import("bun:ffi");
  const failures: string[] = [];
  for (const library of LIBRARIES) {
    try {
      return load(ffi, library);
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`no C library: ${failures.join("; ")}`);
}

/** A port on 127.0.0.1 that was free a moment ago, for programs that cannot choose one themselves and tell it. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/**
 * The application behind every contender: fixed bodies, by size, served without any work of its own. What follows the
 * size in a path makes no difference.
 */

const [port] = process.argv.slice(2).map(Number);

function body(bytes: number): Response {
  return new Response("x".repeat(bytes), { headers: { "content-type": "text/plain" } });
}

Bun.serve({
  hostname: "127.0.0.1",
  port: port ?? 0,
  routes: { "/130": body(130), "/130/*": body(130), "/1024": body(1024), "/65536": body(65_536) },
  fetch: () => new Response("there is nothing here", { status: 404 }),
});

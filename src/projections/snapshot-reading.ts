/**
 * Validates a snapshot piece by piece. That of a service with a thousand upstreams takes tens of milliseconds, for which
 * no request should have to wait: whoever reads one decides what happens between the pieces.
 */

import { z } from "zod";
import { type ServiceSnapshot, type SnapshotUpstream, serviceSnapshot, snapshotUpstream } from "./snapshot.ts";

/** Rules that make a piece: a millisecond, or two. */
const RULES_PER_PIECE = 250;
/** An upstream costs as much as so many rules, beside its own. */
const UPSTREAM_RULES = 2;

const frame = serviceSnapshot.extend({ upstreams: z.record(z.string(), z.unknown()) });

/** Yields after each piece but the last; returns the snapshot, or why the value is none. */
export function* readSnapshot(value: unknown): Generator<void, ServiceSnapshot | string> {
  const framed = frame.safeParse(value);
  if (!framed.success) return reasonOf(framed.error, []);
  const upstreams: [ref: string, SnapshotUpstream][] = [];
  let piece = 0;
  for (const [ref, unread] of Object.entries(framed.data.upstreams)) {
    const upstream = snapshotUpstream.safeParse(unread);
    if (!upstream.success) return reasonOf(upstream.error, ["upstreams", ref]);
    upstreams.push([ref, upstream.data]);
    piece += UPSTREAM_RULES + upstream.data.routes.length;
    if (piece < RULES_PER_PIECE) continue;
    piece = 0;
    yield;
  }
  return { ...framed.data, upstreams: Object.fromEntries(upstreams) };
}

/** The first thing that is wrong, and where. */
export function reasonOf({ issues }: z.ZodError, within: readonly string[] = []): string {
  const [issue] = issues;
  const message = issue?.message ?? "not understood";
  const path = [...within, ...(issue?.path ?? [])];
  return path.length === 0 ? message : `${path.join(".")}: ${message}`;
}

/** A ledger of any length, written as fast as NATS takes it: what benches of the past and of the traffic ledger read. */

import { encodeChange, sha256Hex } from "../src/events/chain.ts";
import { CHANGE_TYPE, type Change } from "../src/events/change.ts";
import type { DomainEvent } from "../src/events/domain-events.ts";
import type { NatsBus } from "../src/nats/nats-bus.ts";
import { lastSequence } from "../src/nats/stream-client.ts";
import { EVENT_STREAM, subjects } from "../src/nats/subjects.ts";

export const NAMESPACE = "shop";
/** `s0` to `s99`. */
export const SERVICES = 100;
/** Messages sent before the stream is asked whether it has them. */
const BATCH = 10_000;

/** Services with a policy each, and then grants and revocations among them, one event a change. */
function eventOf(revision: number): DomainEvent[] {
  const at = revision % SERVICES;
  const name = `s${at}`;
  const about = { namespace: NAMESPACE, name };
  const round = Math.floor((revision - 1) / SERVICES);
  if (round === 0) return [{ type: "ServiceDeclared", ...about, spec: { ports: [{ port: 8080, protocol: "http" }] } }];
  if (round === 1) return [{ type: "AccessPolicyDeclared", ...about, service: name }];
  const rule = { allow: { from: [`${NAMESPACE}/s${(at + 1) % SERVICES}` as const] } };
  const type = round % 2 === 0 ? "AccessGranted" : "AccessRevoked";
  return [{ type, ...about, service: name, index: 0, rule }];
}

function changeOf(revision: number, previous: string): Change {
  const id = `change-${revision}`;
  return {
    specversion: "1.0",
    id,
    source: "heddle/control",
    type: CHANGE_TYPE,
    time: new Date(Date.UTC(2026, 0, 1) + revision * 1_000).toISOString(),
    subject: NAMESPACE,
    datacontenttype: "application/json",
    authtype: "user",
    authid: "ada",
    data: {
      schema: 1,
      actor: { name: "ada" },
      reason: "PCI-142",
      command: { kind: "apply", id, digest: sha256Hex(id) },
      previous,
      events: eventOf(revision),
    },
  };
}

/** Changes of these revisions as they are stored, after one with the hash `before`. */
export function* storedChanges(from: number, to: number, before: string): Generator<Uint8Array, string> {
  let previous = before;
  for (let revision = from; revision <= to; revision++) {
    const data = encodeChange(changeOf(revision, previous));
    previous = sha256Hex(data);
    yield data;
  }
  return previous;
}

/** Writes them to the ledger. Returns the last one's hash. */
export async function writeChanges(bus: NatsBus, from: number, to: number, before: string): Promise<string> {
  const subject = subjects.events(NAMESPACE);
  let previous = before;
  function* messages(): Generator<Message> {
    const changes = storedChanges(from, to, before);
    for (let next = changes.next(); ; next = changes.next()) {
      if (next.done === true) {
        previous = next.value;
        return;
      }
      yield { subject, data: next.value };
    }
  }
  await writeMessages(bus, EVENT_STREAM, messages());
  return previous;
}

export interface Message {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** Writes to a stream without awaiting each acknowledgement, which no part of the mesh ever does. */
export async function writeMessages(bus: NatsBus, stream: string, messages: Iterable<Message>): Promise<void> {
  let sent = await lastSequence(bus, stream);
  const stored = async (): Promise<void> => {
    await bus.flush();
    while ((await lastSequence(bus, stream)) < sent) await Bun.sleep(5);
  };
  for (const { subject, data } of messages) {
    bus.publish(subject, data);
    if (++sent % BATCH === 0) await stored();
  }
  await stored();
}

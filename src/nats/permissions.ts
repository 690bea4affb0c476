/**
 * Who may say and hear what: the one table behind every NATS user of the mesh. The server enforces it, so a process
 * that runs Heddle's code badly, or not at all, gets no further than these subjects.
 */

import type { OperatorRole } from "../events/domain-events.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET, EVENT_STREAM, subjects } from "./subjects.ts";

/** Subjects a user may publish to and subscribe to; whatever is not listed is refused. */
export interface SubjectPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Root of a user's replies. Replies are private because nobody else may subscribe below it. */
export function inboxPrefix(publicKey: string): string {
  return `_INBOX.${publicKey}`;
}

/** Subject that a bucket's key is stored under. */
export function bucketSubject(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

/** JetStream stream behind a bucket. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`;
}

/**
 * Request subject that answers with a key's last value. The key is in the subject (not in the payload), which is what
 * lets a permission name one key of a bucket.
 */
export function directGetSubject(bucket: string, key: string): string {
  return `$JS.API.DIRECT.GET.${bucketStream(bucket)}.${bucketSubject(bucket, key)}`;
}

/** A sidecar: its own snapshot, everybody's endpoints, its own status and certificate requests. */
export function servicePermissions(publicKey: string, namespace: string, service: string): SubjectPermissions {
  return {
    publish: [
      subjects.status(namespace, service, "*"),
      subjects.sign(namespace, service),
      directGetSubject(CONFIG_BUCKET, `${namespace}.${service}`),
      directGetSubject(ENDPOINT_BUCKET, "*.*"),
    ],
    subscribe: [subjects.config(namespace, service), subjects.endpoints("*", "*"), `${inboxPrefix(publicKey)}.>`],
  };
}

/** Reading the ledger and the buckets: for every operator, whatever the role. */
const READ_ONLY = [
  `$JS.API.STREAM.INFO.${EVENT_STREAM}`,
  `$JS.API.DIRECT.GET.${EVENT_STREAM}`,
  `$JS.API.DIRECT.GET.${EVENT_STREAM}.>`,
  ...[CONFIG_BUCKET, ENDPOINT_BUCKET].flatMap((bucket) => [
    `$JS.API.STREAM.INFO.${bucketStream(bucket)}`,
    `$JS.API.DIRECT.GET.${bucketStream(bucket)}`,
    directGetSubject(bucket, ">"),
  ]),
];

function commandSubjects(publicKey: string, role: OperatorRole, namespaces: readonly string[]): string[] {
  switch (role) {
    case "admin":
      return [subjects.command(publicKey, "*")];
    case "editor":
      return namespaces.map((namespace) => subjects.command(publicKey, namespace));
    case "viewer":
      return [];
  }
}

/** A person (or a pipeline): commands under their own key, in their namespaces; questions; and the ledger to read. */
export function operatorPermissions(
  publicKey: string,
  role: OperatorRole,
  namespaces: readonly string[],
): SubjectPermissions {
  return {
    publish: [...commandSubjects(publicKey, role, namespaces), subjects.query(publicKey, ">"), ...READ_ONLY],
    subscribe: [`${inboxPrefix(publicKey)}.>`],
  };
}

/** A control replica: the mesh's subjects, JetStream, and replies to whoever asked. */
export function controlPermissions(publicKey: string): SubjectPermissions {
  return {
    publish: ["heddle.>", "$JS.>", "$KV.>", "_INBOX.>"],
    subscribe: ["heddle.>", `${inboxPrefix(publicKey)}.>`],
  };
}

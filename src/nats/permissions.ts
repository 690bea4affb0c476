/**
 * Who may say and hear what: the one table behind every NATS user of the mesh. The server enforces it, so a process
 * that runs Heddle's code badly, or not at all, gets no further than these subjects.
 */

import type { OperatorRole } from "../events/domain-events.ts";
import {
  CHECKPOINT_BUCKET,
  CONFIG_BUCKET,
  ENDPOINT_BUCKET,
  EVENT_STREAM,
  subjects,
  TRAFFIC_STREAM,
} from "./subjects.ts";

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

/** A sidecar: its own snapshot, everybody's endpoints, its own status and calls, and requests for certificates and quota. */
export function servicePermissions(publicKey: string, namespace: string, service: string): SubjectPermissions {
  return {
    publish: [
      subjects.status(namespace, service, "*"),
      subjects.traffic(namespace, service, "*"),
      subjects.sign(namespace, service, publicKey),
      subjects.quota(namespace, service),
      directGetSubject(CONFIG_BUCKET, `${namespace}.${service}`),
      directGetSubject(ENDPOINT_BUCKET, "*.*"),
    ],
    subscribe: [subjects.config(namespace, service), subjects.endpoints("*", "*"), `${inboxPrefix(publicKey)}.>`],
  };
}

/** What operators may read. Checkpoints hold what the ledger says, folded, and save them folding it. */
const READABLE_STREAMS = [
  EVENT_STREAM,
  TRAFFIC_STREAM,
  ...[CONFIG_BUCKET, ENDPOINT_BUCKET, CHECKPOINT_BUCKET].map(bucketStream),
];

/** Requests that read the ledger and the buckets; the sequence or key may be in the payload. They change nothing. */
const READ_REQUESTS = READABLE_STREAMS.flatMap((stream) => [
  `$JS.API.DIRECT.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}.>`,
]);

/**
 * What crosses from the account of workloads and operators into the mesh's own (`requests`) and back (`feeds`). Two
 * accounts, because permissions alone leave a gap: JetStream answers to whatever reply subject a request names, so
 * within one account anybody who may read a key could have its value delivered to `heddle.events.…`, where it would be
 * stored for good. Across accounts, an answer stays in the account of whoever asked.
 */
export const ACCOUNT_BORDER = {
  requests: [
    subjects.allCommands,
    subjects.allQueries,
    subjects.allStatus,
    subjects.allTraffic,
    subjects.allSign,
    subjects.allQuota,
    ...READ_REQUESTS,
  ],
  feeds: [subjects.config("*", "*"), subjects.endpoints("*", "*"), subjects.allRecorded],
} as const;

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
    publish: [...commandSubjects(publicKey, role, namespaces), subjects.query(publicKey, "*"), ...READ_REQUESTS],
    subscribe: [subjects.allRecorded, `${inboxPrefix(publicKey)}.>`],
  };
}

/** Whoever tells the servers what the accounts are, and asks what they take them for. In the servers' own account. */
export function accountsPermissions(publicKey: string): SubjectPermissions {
  return {
    publish: [subjects.updateAccount, subjects.lookUpAccount("*")],
    subscribe: [`${inboxPrefix(publicKey)}.>`],
  };
}

/** Whoever asks the server how it is, and nothing else. In the servers' own account. */
export function watchPermissions(publicKey: string): SubjectPermissions {
  return { publish: [subjects.jetStreamState], subscribe: [`${inboxPrefix(publicKey)}.>`] };
}

/** A control replica: the mesh's subjects, JetStream, and replies to whoever asked. */
export function controlPermissions(publicKey: string): SubjectPermissions {
  return {
    // _R_: the reply subject of a request that came from the other account.
    publish: ["heddle.>", "$JS.>", "$KV.>", "_R_.>", "_INBOX.>"],
    subscribe: ["heddle.>", `${inboxPrefix(publicKey)}.>`],
  };
}

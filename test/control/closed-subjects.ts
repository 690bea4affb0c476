/** Subjects that the NATS server keeps from sidecars and operators, each with what somebody could want there. */

import { bucketSubject } from "../../src/nats/permissions.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET, EVENT_STREAM, subjects } from "../../src/nats/subjects.ts";
import { hpub, pub, sub } from "../support/raw-nats.ts";

const publish = (subject: string): string => `Permissions Violation for Publish to "${subject}"`;
const subscribe = (subject: string): string => `Permissions Violation for Subscription to "${subject}"`;

/** JetStream's own requests (ADR-1 and the server's `jetstream_api.go`), each with what it would do to the ledger. */
const JETSTREAM: readonly [what: string, request: string, payload?: string][] = [
  ["tell of the account", "INFO"],
  ["name the streams", "STREAM.NAMES"],
  ["list the streams", "STREAM.LIST"],
  ["describe the ledger", `STREAM.INFO.${EVENT_STREAM}`],
  ["describe a bucket", `STREAM.INFO.KV_${CONFIG_BUCKET}`],
  ["make a stream of everything", "STREAM.CREATE.EVIL", '{"name":"EVIL","subjects":[">"]}'],
  ["make a mirror of the ledger", "STREAM.CREATE.COPY", `{"name":"COPY","mirror":{"name":"${EVENT_STREAM}"}}`],
  ["take the ledger's bounds away", `STREAM.UPDATE.${EVENT_STREAM}`, `{"name":"${EVENT_STREAM}","deny_delete":false}`],
  ["delete the ledger", `STREAM.DELETE.${EVENT_STREAM}`],
  ["purge the ledger", `STREAM.PURGE.${EVENT_STREAM}`],
  ["purge a bucket", `STREAM.PURGE.KV_${CONFIG_BUCKET}`],
  ["delete one change", `STREAM.MSG.DELETE.${EVENT_STREAM}`, '{"seq":1}'],
  ["get a change of the leader", `STREAM.MSG.GET.${EVENT_STREAM}`, '{"seq":1}'],
  ["get a snapshot of the leader", `STREAM.MSG.GET.KV_${CONFIG_BUCKET}`, '{"seq":1}'],
  ["back the ledger up to itself", `STREAM.SNAPSHOT.${EVENT_STREAM}`, '{"deliver_subject":"x"}'],
  ["restore a ledger of its own", `STREAM.RESTORE.${EVENT_STREAM}`],
  ["depose the stream's leader", `STREAM.LEADER.STEPDOWN.${EVENT_STREAM}`],
  ["remove a peer of the stream", `STREAM.PEER.REMOVE.${EVENT_STREAM}`],
  ["depose the cluster's leader", "META.LEADER.STEPDOWN"],
  ["remove a server", "SERVER.REMOVE"],
  ["purge the account", "ACCOUNT.PURGE.HEDDLE"],
  ["make a consumer", `CONSUMER.CREATE.${EVENT_STREAM}`, '{"config":{"deliver_subject":"x"}}'],
  ["make a durable consumer", `CONSUMER.DURABLE.CREATE.${EVENT_STREAM}.evil`],
  ["name consumers", `CONSUMER.NAMES.${EVENT_STREAM}`],
  ["list consumers", `CONSUMER.LIST.${EVENT_STREAM}`],
  ["pull from a consumer", `CONSUMER.MSG.NEXT.${EVENT_STREAM}.evil`],
  ["delete a consumer", `CONSUMER.DELETE.${EVENT_STREAM}.evil`],
];

/** What nobody but control may publish. */
const CONTROLS: readonly [what: string, subject: string][] = [
  ["append an event", subjects.events("shop")],
  ["append an event for the mesh", subjects.events("_mesh")],
  ["append to every namespace", subjects.events("*")],
  ["say that a change was recorded", subjects.recorded("shop")],
  ["push a snapshot to another", subjects.config("shop", "payment")],
  ["push a snapshot to itself", subjects.config("shop", "web")],
  ["push endpoints of another", subjects.endpoints("shop", "payment")],
  ["store a snapshot for another", bucketSubject(CONFIG_BUCKET, "shop.payment")],
  ["store a snapshot for itself", bucketSubject(CONFIG_BUCKET, "shop.web")],
  ["store endpoints", bucketSubject(ENDPOINT_BUCKET, "shop.payment")],
  ["store a checkpoint", bucketSubject(CHECKPOINT_BUCKET, "mesh.3")],
  ["store a checkpoint along history", bucketSubject(CHECKPOINT_BUCKET, "mesh.3.1000")],
  ["acknowledge for a consumer", `$JS.ACK.${EVENT_STREAM}.evil.1.1.1.1.1`],
  ["answer across the accounts", "_R_.abcdef.ghijkl"],
  ["answer into any inbox", "_INBOX.anybody.1"],
  ["ping the servers", "$SYS.REQ.SERVER.PING"],
  ["list the servers' connections", "$SYS.REQ.SERVER.PING.CONNZ"],
  ["change an account", subjects.updateAccount],
  ["delete an account", "$SYS.REQ.CLAIMS.DELETE"],
  ["list accounts", "$SYS.REQ.CLAIMS.LIST"],
  ["impersonate a server", "$SYS.SERVER.ACCOUNT.HEDDLE.CONNS"],
  ["announce a micro service", "$SRV.PING"],
  ["publish anywhere", "anything"],
];

/** What nobody but control, or but its owner, may hear; the second column is a queue group that would steal. */
const SECRETS: readonly [subject: string, queue?: string][] = [
  [">"],
  ["*"],
  ["*.>"],
  ["heddle.>"],
  ["heddle.*.>"],
  [subjects.config("*", "*")],
  ["heddle.config.>"],
  [subjects.allStatus],
  [subjects.allSign, "control"],
  [subjects.allCommands],
  [subjects.allCommands, "control"],
  [subjects.allQueries, "control"],
  [subjects.allEvents],
  ["$JS.>"],
  ["$JS.API.>", "control"],
  ["$JS.EVENT.ADVISORY.>"],
  [`$KV.${CONFIG_BUCKET}.>`],
  ["$SYS.>"],
  ["$SYS.ACCOUNT.*.CONNECT"],
  ["$SRV.>"],
  ["_INBOX.>"],
  ["_INBOX.*.>"],
  ["_R_.>"],
];

/** An attempt: its lines as sent, and the server's refusal. */
export interface Row {
  readonly what: string;
  readonly lines: string;
  readonly refusal: string;
}

export const publishing = (what: string, subject: string, payload?: string): Row => {
  return { what, lines: pub(subject, payload), refusal: publish(subject) };
};
export const subscribing = (subject: string, queue = ""): Row => {
  // The server names the queue where there is one.
  const named = queue === "" ? subscribe(subject) : `${subscribe(subject)} using queue "${queue}"`;
  return {
    what: `hear ${subject}${queue === "" ? "" : ` as one of ${queue}`}`,
    lines: sub(subject, queue),
    refusal: named,
  };
};

/** Everything that is closed to whoever is not control; `operatorKey` is the public key of some other operator. */
export function closedToAll(operatorKey: string): Row[] {
  return [
    ...JETSTREAM.map(([what, request, payload]) => publishing(what, `$JS.API.${request}`, payload)),
    ...CONTROLS.map(([what, subject]) => publishing(what, subject)),
    ...SECRETS.map(([subject, queue]) => subscribing(subject, queue)),
    subscribing(`_INBOX.${operatorKey}.>`),
    subscribing(`_INBOX.${operatorKey}.*`),
    publishing("answer in ada's inbox", `_INBOX.${operatorKey}.1`),
    publishing("command as ada", subjects.command(operatorKey, "shop")),
    publishing("ask as ada", subjects.query(operatorKey, "status")),
    {
      what: "overwrite an event with a roll-up",
      lines: hpub(subjects.events("shop"), { "Nats-Rollup": "all" }, "{}"),
      refusal: publish(subjects.events("shop")),
    },
    {
      what: "delete a key of a bucket",
      lines: hpub(bucketSubject(CONFIG_BUCKET, "shop.payment"), { "KV-Operation": "PURGE", "Nats-Rollup": "sub" }),
      refusal: publish(bucketSubject(CONFIG_BUCKET, "shop.payment")),
    },
  ];
}

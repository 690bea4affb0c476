/** Every subject, stream and bucket of the mesh, and who may use it: the one table to read for the wire between processes. */

/** The ledger; its subjects are `heddle.events.<namespace>`. */
export const EVENT_STREAM = "HEDDLE_EVENTS";
/** Snapshots by `<namespace>.<service>`. */
export const CONFIG_BUCKET = "heddle-config";
/** Endpoint sets by `<namespace>.<service>`. */
export const ENDPOINT_BUCKET = "heddle-endpoints";
/** Checkpoints of projections by `<projection>.<version>`; those along history by `<projection>.<version>.<revision>`. */
export const CHECKPOINT_BUCKET = "heddle-checkpoints";

/** What sidecars saw of calls; its subjects are `heddle.traffic.<namespace>.<service>.<instance>`. */
export const TRAFFIC_STREAM = "HEDDLE_TRAFFIC";

/** Command replicas form one queue group, so that each command is decided once. */
export const CONTROL_QUEUE = "control";

export const subjects = {
  events: (namespace: string): string => `heddle.events.${namespace}`,
  allEvents: "heddle.events.>",
  /** Said by the ledger's stream once a change of the namespace is stored: a reason to read, without its content. */
  recorded: (namespace: string): string => `heddle.recorded.${namespace}`,
  allRecorded: "heddle.recorded.>",
  /** A command of an operator (by nkey) on a namespace. */
  command: (actor: string, namespace: string): string => `heddle.cmd.${actor}.${namespace}`,
  allCommands: "heddle.cmd.*.*",
  /** A question of an operator to the control plane, such as `status`. */
  query: (actor: string, kind: string): string => `heddle.query.${actor}.${kind}`,
  allQueries: "heddle.query.*.*",
  /** A control replica's word to the others that it is there. */
  replica: (id: string): string => `heddle.control.${id}`,
  allReplicas: "heddle.control.*",
  config: (namespace: string, service: string): string => `heddle.config.${namespace}.${service}`,
  endpoints: (namespace: string, service: string): string => `heddle.endpoints.${namespace}.${service}`,
  status: (namespace: string, service: string, instance: string): string =>
    `heddle.status.${namespace}.${service}.${instance}`,
  allStatus: "heddle.status.*.*.*",
  /** The calls that an instance saw in an interval. */
  traffic: (namespace: string, service: string, instance: string): string =>
    `heddle.traffic.${namespace}.${service}.${instance}`,
  allTraffic: "heddle.traffic.*.*.*",
  /** A request for a certificate of a service, by a user (nkey). */
  sign: (namespace: string, service: string, user: string): string => `heddle.ca.sign.${namespace}.${service}.${user}`,
  allSign: "heddle.ca.sign.*.*.*",
  /** A service's question for tokens of the rate limits that its instances share. */
  quota: (namespace: string, service: string): string => `heddle.quota.${namespace}.${service}`,
  allQuota: "heddle.quota.*.*",
  /** In the servers' own account: takes an account's JWT, and keeps it where the resolver is a full one. */
  updateAccount: "$SYS.REQ.CLAIMS.UPDATE",
  /** Likewise: answers with how JetStream is. */
  jetStreamState: "$SYS.REQ.SERVER.PING.JSZ",
  /** Likewise: answers with an account's JWT. */
  lookUpAccount: (account: string): string => `$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`,
} as const;

/** Answers operators' questions about the mesh as it is: `status`, `wait`, `credentials`, `check` and `ping`. History they read from the ledger. */

import type { MeshState } from "../events/state.ts";
import type { Bus, BusMessage } from "../nats/bus.ts";
import { CONTROL_QUEUE, subjects } from "../nats/subjects.ts";
import { parseJson } from "../policy/json.ts";
import type { ServiceRef } from "../policy/names.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Convergence } from "./convergence.ts";
import type { CredentialService } from "./credential-service.ts";
import {
  type CheckReply,
  type CredentialsReply,
  credentialsRequest,
  type RotationReply,
  type StatusReply,
  type WaitReply,
  waitRequest,
} from "./protocol.ts";
import type { KnownReplica } from "./replica-registry.ts";
import type { Roster } from "./roster.ts";
import type { RotationDriver } from "./rotation-driver.ts";
import { type StatusSources, statusReport } from "./status-report.ts";

/** Instances that are named; the answer has to fit into one message. */
const WAITING_MAX = 1_000;

export interface QueryServiceOptions {
  readonly bus: Bus;
  readonly state: () => MeshState;
  readonly expectedRevision: (service: ServiceRef) => number | undefined;
  readonly roster: Roster;
  readonly registry: StatusSources["registry"];
  readonly convergence: Convergence;
  readonly credentials: CredentialService;
  readonly replicas: () => KnownReplica[];
  /** Ends of the certificates that sign, milliseconds since the epoch. */
  readonly authorityExpiry: () => { readonly rootMs: number; readonly issuerMs: number };
  readonly rotation: Pick<RotationDriver, "waiting">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

export interface QueryService {
  stop(): void;
}

/** Serves until stopped; replicas share the questions as one queue group. What is no question gets no answer. */
export function serveQueries(options: QueryServiceOptions): QueryService {
  const { bus, logger } = options;
  return bus.subscribe(
    subjects.allQueries,
    async (message) => {
      const answer = await answerTo(message, options);
      if (answer === undefined) logger.warn({ subject: message.subject }, "a question that is not understood");
      else message.respond(new TextEncoder().encode(JSON.stringify(answer)));
    },
    { queue: CONTROL_QUEUE },
  );
}

type Answer = Record<string, never> | CheckReply | StatusReply | RotationReply | WaitReply | CredentialsReply;

async function answerTo(message: BusMessage, options: QueryServiceOptions): Promise<Answer | undefined> {
  const { state, expectedRevision, roster, registry, convergence, rotation, now } = options;
  switch (message.subject.split(".")[3]) {
    case "ping":
      return {};
    case "status":
      return statusReport({ state: state(), expectedRevision, roster, registry, nowMs: now() });
    case "check":
      return checkReport(options);
    case "ca":
      return { revision: state().revision, waiting: rotation.waiting().slice(0, WAITING_MAX) };
    case "wait": {
      const request = waitRequest.safeParse(parseJson(message.data));
      return request.success ? convergence.wait(request.data.revision, request.data.timeoutMs) : undefined;
    }
    case "credentials": {
      const request = credentialsRequest.safeParse(parseJson(message.data));
      return request.success ? options.credentials.answer(request.data.publicKey) : undefined;
    }
    default:
      return undefined;
  }
}

function checkReport({ now, replicas, credentials, authorityExpiry }: QueryServiceOptions): CheckReply {
  const { rootMs, issuerMs } = authorityExpiry();
  const { ailment } = credentials;
  return {
    timeMs: now(),
    replicas: replicas(),
    ...(ailment === undefined ? {} : { revocations: ailment }),
    rootNotAfterMs: rootMs,
    issuerNotAfterMs: issuerMs,
  };
}

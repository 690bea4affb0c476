/** The authority's door on NATS: signs what arrives on `heddle.ca.sign.<namespace>.<service>.<user>`. */

import type { Bus, BusMessage, BusSubscription } from "../nats/bus.ts";
import { CONTROL_QUEUE, subjects } from "../nats/subjects.ts";
import { isDnsLabel } from "../policy/names.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { type Issuer, LEAF_TTL_MIN_MS, type SignedLeaf } from "./issuer.ts";
import { provenKey } from "./request.ts";
import { SignLimiter } from "./sign-limiter.ts";
import { encodeSignReply, parseSignRequest } from "./workload/sign-protocol.ts";
import { workloadIdentity } from "./workload/spiffe-id.ts";

/** One line for the audit log: who asked, and what came of it. */
export type SignAudit = {
  readonly timeMs: number;
  readonly namespace: string;
  readonly service: string;
} & (
  | { readonly outcome: "signed"; readonly spiffeId: string; readonly serial: string; readonly notAfterMs: number }
  | { readonly outcome: "refused"; readonly reason: string }
);

/** What the authority must know of a workload whose identity was revoked, in whole or in part. */
export interface SigningRevocation {
  /** Why it gets no certificate; undefined: it does. The instance is what the asker says of itself. */
  readonly refusal: (instance: string | undefined) => string | undefined;
  /** Older certificates are refused by peers, so that no validity may begin before. Unix milliseconds. */
  readonly issuedBeforeMs: number | undefined;
}

export interface SigningOptions {
  readonly trustDomain: string;
  /** Life of a leaf where `ttlOf` does not say; at least `LEAF_TTL_MIN_MS`. */
  readonly ttlMs: number;
  /** Life of the leaves of one service, milliseconds; undefined: the usual one. */
  readonly ttlOf?: (namespace: string, service: string) => number | undefined;
  /** The issuer now in force: asked for each request, since it is renewed while the service runs. */
  readonly issuer: () => Issuer;
  /** PEM of every root that is added or active, as of now. */
  readonly bundle: () => readonly string[];
  /** What was revoked of this workload; undefined: nothing. */
  readonly revocation?: (namespace: string, service: string) => SigningRevocation | undefined;
  /**
   * Resolves with why this instance may not join with the key that it comes with; undefined: it may. Asked only for
   * requests that could be signed, since to join may use something up.
   */
  readonly admit?: (asker: Asker, instance: string | undefined) => Promise<string | undefined>;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly audit: (line: SignAudit) => void;
}

export interface SigningService {
  /**
   * Whether requests come here at all. A replica without the key that signs leaves the queue group, or it would answer
   * its share of the requests with a refusal while others could sign.
   */
  setAvailable(available: boolean): void;
  stop(): void;
}

/** As the subject says, which the NATS server vouches for. */
export interface Asker {
  readonly namespace: string;
  readonly service: string;
  /** nkey (`U…`). */
  readonly publicKey: string;
}

/**
 * Serves until stopped; replicas share the work as one queue group. The subject says who asks: the NATS server lets a
 * workload publish on its own one only. Throws for a `ttlMs` below the least.
 */
export function serveSigning(bus: Bus, options: SigningOptions): SigningService {
  if (!(options.ttlMs >= LEAF_TTL_MIN_MS)) {
    throw new RangeError(`leaf life of ${options.ttlMs} ms is below ${LEAF_TTL_MIN_MS} ms`);
  }
  const limiter = new SignLimiter();
  let subscription: BusSubscription | undefined;
  const setAvailable = (available: boolean): void => {
    if (!available) subscription?.stop();
    subscription = available
      ? (subscription ?? bus.subscribe(subjects.allSign, serveOne, { queue: CONTROL_QUEUE }))
      : undefined;
  };
  const serveOne = (message: BusMessage): void => void answer(message, options, limiter);
  setAvailable(true);
  return { setAvailable, stop: () => setAvailable(false) };
}

async function answer(message: BusMessage, options: SigningOptions, limiter: SignLimiter): Promise<void> {
  const [namespace = "", service = "", publicKey = ""] = message.subject.split(".").slice(3);
  const signed = await signFor({ namespace, service, publicKey }, message.data, options, limiter);
  const timeMs = options.now();
  if (!signed.ok) {
    options.audit({ timeMs, namespace, service, outcome: "refused", reason: signed.error });
    message.respond(encodeSignReply({ error: signed.error }));
    return;
  }
  const { spiffeId, chainPem, serial, notAfterMs } = signed.value;
  options.audit({ timeMs, namespace, service, outcome: "signed", spiffeId, serial, notAfterMs });
  const notAfter = new Date(notAfterMs).toISOString();
  message.respond(encodeSignReply({ chain: chainPem, bundle: [...options.bundle()], notAfter }));
}

async function signFor(
  asker: Asker,
  data: Uint8Array,
  options: SigningOptions,
  limiter: SignLimiter,
): Promise<Result<SignedLeaf & { spiffeId: string }, string>> {
  const { namespace, service } = asker;
  if (!isDnsLabel(namespace) || !isDnsLabel(service)) return err("namespace and service must be DNS labels");
  const nowMs = options.now();
  const busy = limiter.enter(`${namespace}/${service}`, nowMs);
  if (busy !== undefined) return err(busy);
  try {
    const request = parseSignRequest(data);
    if (!request.ok) return request;
    const revocation = options.revocation?.(namespace, service);
    const refused = revocation?.refusal(request.value.instance);
    if (refused !== undefined) return err(refused);
    const notBeforeMinMs = revocation?.issuedBeforeMs;
    const publicKey = await limiter.inTurn(() => provenKey(request.value.csr));
    if (!publicKey.ok) return publicKey;
    const unwelcome = await options.admit?.(asker, request.value.instance);
    if (unwelcome !== undefined) return err(unwelcome);
    const spiffeId = workloadIdentity(options.trustDomain, namespace, service).id;
    const terms = {
      spiffeId,
      ttlMs: options.ttlOf?.(namespace, service) ?? options.ttlMs,
      nowMs,
      ...(notBeforeMinMs === undefined ? {} : { notBeforeMinMs }),
    };
    const leaf = await limiter.inTurn(() => options.issuer().signKey(publicKey.value, terms));
    return leaf.ok ? ok({ ...leaf.value, spiffeId }) : leaf;
  } catch (error) {
    // Ours, or the key store's: the asker is to try again, the audit log names the time.
    return err(`the authority failed: ${error instanceof Error ? error.message : "unknown error"}`);
  } finally {
    limiter.leave();
  }
}

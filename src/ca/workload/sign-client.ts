/** Asks the authority for a signature over NATS. */

import type { Bus } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import type { Signed } from "./identity.ts";
import { encodeSignRequest, parseSignReply } from "./sign-protocol.ts";

export interface SignClientOptions {
  readonly namespace: string;
  readonly service: string;
  /** nkey (`U…`) of the credentials in use. */
  readonly user: string;
  readonly instance: string;
  readonly timeoutMs: number;
}

/** The `sign` of `createIdentity`, over `bus`. What it returns rejects in words when the authority does not sign. */
export function signOverBus(bus: Bus, options: SignClientOptions): (csrPem: string) => Promise<Signed> {
  const subject = subjects.sign(options.namespace, options.service, options.user);
  return async (csrPem) => {
    const data = await bus.request(subject, encodeSignRequest({ csr: csrPem, instance: options.instance }), {
      timeoutMs: options.timeoutMs,
    });
    const reply = parseSignReply(data);
    if (!reply.ok) throw new Error(reply.error);
    if ("error" in reply.value) throw new Error(`the authority refused to sign: ${reply.value.error}`);
    return { chainPem: reply.value.chain, bundle: reply.value.bundle };
  };
}

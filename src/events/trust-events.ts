/** The part of the vocabulary that is about whom the mesh believes: its roots, and identities that were revoked. */

import { z } from "zod";

const namespace = z.string();
const service = z.string();

/** Of a certificate: hex digits, in lower case. */
export const SERIAL = /^[0-9a-f]{1,40}$/;
export const serialNumber = z.string().regex(SERIAL, "must be a serial number in lower-case hex");

/**
 * An identity is believed no longer: the service as a whole, or with `serial` one certificate of it. With `instance`
 * nothing is signed for that instance any more.
 */
export const identityRevoked = z.strictObject({
  type: z.literal("IdentityRevoked"),
  namespace,
  service,
  serial: serialNumber.optional(),
  instance: z.string().optional(),
});

/**
 * Certificates are signed again for a service, or for one instance of it. Those that were issued before the
 * revocation stay refused.
 */
export const identityReinstated = z.strictObject({
  type: z.literal("IdentityReinstated"),
  namespace,
  service,
  instance: z.string().optional(),
});

/** The SHA-256 of a certificate's DER, lower-case hex. */
const fingerprint = z.string();

export const rootAdded = z.strictObject({ type: z.literal("RootAdded"), fingerprint, pem: z.string() });
export const rootActivated = z.strictObject({ type: z.literal("RootActivated"), fingerprint });
export const rootRetired = z.strictObject({ type: z.literal("RootRetired"), fingerprint });

/** The active root is to be replaced. What follows (added, activated, retired) is recorded as each step is safe. */
export const rootRotationStarted = z.strictObject({ type: z.literal("RootRotationStarted"), from: fingerprint });
export const rootRotationPaused = z.strictObject({ type: z.literal("RootRotationPaused") });
export const rootRotationResumed = z.strictObject({ type: z.literal("RootRotationResumed") });
/** Back to the root of before: the new one is retired once nobody needs it. */
export const rootRotationAborted = z.strictObject({ type: z.literal("RootRotationAborted") });

/** Workloads of another trust domain are believed, by these roots (PEM) and no others; said again with each change. */
export const federationTrusted = z.strictObject({
  type: z.literal("FederationTrusted"),
  trustDomain: z.string(),
  roots: z.array(z.string()).min(1),
  /** `spiffe_sequence` of the bundle, where its publisher gave one. */
  sequence: z.int().min(0).optional(),
});
export const federationEnded = z.strictObject({ type: z.literal("FederationEnded"), trustDomain: z.string() });

/** An authority that is none of ours, and certifies whatever name it likes. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAuthority } from "../../src/ca/open-authority.ts";
import { createKeyAndRequest } from "../../src/ca/workload/csr.ts";
import type { Shown } from "./peer.ts";

const HOUR_MS = 3_600_000;

/** A certificate that is flawless but for who signed it. */
export async function foreignCertificate(trustDomain: string, spiffeId: string): Promise<Shown> {
  const directory = await mkdtemp(join(tmpdir(), "heddle-foreign-"));
  try {
    const nowMs = Date.now();
    const authority = await openAuthority(directory, { trustDomain, nowMs });
    const { keyPem, csrPem } = await createKeyAndRequest();
    const signed = await authority.issuer.sign(csrPem, { spiffeId, ttlMs: HOUR_MS, nowMs });
    if (!signed.ok) throw new Error(signed.error);
    return { chainPem: signed.value.chainPem, keyPem };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

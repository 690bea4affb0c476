/** The certificate authority of a replica, looked after while the replica lives. */

import { ISSUER_LIFE_MS } from "../ca/authority.ts";
import { AuthorityKeeper, type KeeperOptions } from "../ca/authority-keeper.ts";
import type { Authority } from "../ca/open-authority.ts";
import { activeRoot, type MeshState } from "../events/state.ts";
import type { Logger } from "../telemetry/logger.ts";

/** How often the issuing certificate is looked after: one that was installed is taken up then. */
const RENEWAL_INTERVAL_MS = 10 * 60_000;

interface KeepingOptions extends KeeperOptions {
  readonly logger: Logger;
}

/** Opens the authority, and opens it again now and then, which is how its issuing certificate is renewed in time. */
export async function keepAuthority(
  options: KeepingOptions,
  state: MeshState,
  stack: AsyncDisposableStack,
): Promise<AuthorityKeeper> {
  const { logger } = options;
  const keeper = await AuthorityKeeper.open(options, activeRoot(state.roots)?.fingerprint);
  const renew = async (): Promise<void> => {
    try {
      await keeper.renew();
      warnOfEnd(keeper.current, options);
    } catch (error) {
      logger.error({ err: error }, "the certificate authority could not be opened again; the former one stays");
    }
  };
  warnOfEnd(keeper.current, options);
  const timer = setInterval(() => void renew(), RENEWAL_INTERVAL_MS);
  stack.defer(() => clearInterval(timer));
  return keeper;
}

/** What nobody here can renew, somebody must be told of. */
function warnOfEnd({ issuer, isExternal, rootNotAfterMs }: Authority, { now, logger }: KeepingOptions): void {
  const fields = { rootExpiry: new Date(rootNotAfterMs), issuerExpiry: new Date(issuer.notAfterMs) };
  if (rootNotAfterMs - ISSUER_LIFE_MS < now()) logger.warn(fields, "the root ends within a year: heddle ca rotate");
  else if (isExternal && issuer.renewAfterMs < now()) {
    logger.warn(fields, "the issuing certificate nears its end: heddle ca csr, heddle ca install");
  }
}

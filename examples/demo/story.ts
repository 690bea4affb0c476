/**
 * The story that `npm run demo` tells, in order. Each step is one file: it plays its part with real processes and real
 * traffic, and holds only if what came over the wire says so. Later steps rely on what earlier ones left.
 */

import type { Step } from "./step.ts";
import { badCanary } from "./steps/bad-canary.ts";
import { controlCrash } from "./steps/control-crash.ts";
import { denial } from "./steps/denial.ts";
import { grant } from "./steps/grant.ts";
import { history } from "./steps/history.ts";
import { mutualTls } from "./steps/mutual-tls.ts";
import { natsCrash } from "./steps/nats-crash.ts";
import { openShop } from "./steps/open-shop.ts";
import { sidecarCrash } from "./steps/sidecar-crash.ts";
import { startMesh } from "./steps/start-mesh.ts";
import { stickyUsers } from "./steps/sticky-users.ts";
import { trafficSplit } from "./steps/traffic-split.ts";

export const STORY: readonly Step[] = [
  startMesh, //     nats-server and a control replica, through `heddle up`
  openShop, //      six services without mesh code, a sidecar beside each, policy applied
  mutualTls, //     who shows no certificate of this mesh gets no answer; who shows one is that service and no other
  trafficSplit, //  90/10 between two versions
  stickyUsers, //   beta users always see v2
  denial, //        web may not call payment, and is told why and what to do
  grant, //         the command that the denial named, run as it stands
  badCanary, //     a release that fails, and the way back in one command
  history, //       who did what, when and why
  natsCrash, //     kill -9 of the ledger's server under traffic
  controlCrash, //  kill -9 of the control replica under traffic
  sidecarCrash, //  kill -9 of one sidecar under traffic
];

/** Copies of our application's calls, for services and subsets that are to see real traffic before they answer it. */

import type { SidecarMetrics } from "../telemetry/sidecar-metrics.ts";
import type { RequestHead } from "./codec/message.ts";
import { MIRROR_FIELD } from "./mirror-field.ts";
import { type PlannedCall, planCall } from "./outbound-plan.ts";
import type { Route, RouteTable } from "./route/compile.ts";
import { isDrawn } from "./route/fault-draw.ts";
import type { Runtime } from "./runtime.ts";
import { portIn, portOf } from "./service-port.ts";
import type { ServiceEndpoints } from "./upstream/endpoints.ts";
import { MirrorCall } from "./upstream/mirror-call.ts";

/** Copies under way at once, of all services; beyond it there are no more. They must not take the place of requests. */
const MIRRORS_MAX = 128;
/** A copy that is slower is given up, also where the rule sets no timeout. */
const MIRROR_TIMEOUT_MS = 15_000;

export interface MirrorSources {
  readonly runtime: Runtime;
  readonly metrics: SidecarMetrics;
  readonly endpoints: (service: Route["upstream"]["ref"]) => ServiceEndpoints | undefined;
}

export class Mirroring {
  readonly #sources: MirrorSources;
  #active = 0;

  constructor(sources: MirrorSources) {
    this.#sources = sources;
  }

  /** The copy of a call that is about to be made; undefined where it gets none. */
  copyOf(call: PlannedCall, request: RequestHead, routes: RouteTable): { send(end: boolean): MirrorCall } | undefined {
    const { runtime, metrics, endpoints } = this.#sources;
    const { rule } = call.route;
    const mirror = rule.filters?.mirror;
    if (mirror === undefined || request.upgrade !== undefined || !isDrawn(mirror.percent, runtime.random))
      return undefined;
    const target = routes.mirrorOf(rule, call.route.upstream);
    if (target === undefined || this.#active >= MIRRORS_MAX) {
      this.#count(target === undefined ? "unreachable" : "overflow", metrics);
      return undefined;
    }
    const port = portOf(target.upstream.ports, false, portIn(request.authority));
    const route = { ...call.route, ...target };
    const plan = planCall(runtime, { ...call, route, port, endpoints: endpoints(target.upstream.ref) });
    const head = { ...request, authority: shadowAuthority(request.authority), headers: [...request.headers] };
    return {
      send: (end) => {
        this.#active++;
        const copy = new MirrorCall(
          runtime,
          {
            ...plan,
            retries: undefined,
            budget: undefined,
            isCopy: true,
            head: (own, attempt) => {
              const outgoing = plan.head(own, attempt);
              outgoing.headers.push(MIRROR_FIELD, "1");
              return outgoing;
            },
          },
          Math.min(rule.timeoutMs ?? MIRROR_TIMEOUT_MS, MIRROR_TIMEOUT_MS),
          (outcome) => {
            this.#active--;
            this.#count(outcome, metrics);
          },
        );
        copy.sendHead(head, end);
        return copy;
      },
    };
  }

  #count(outcome: string, metrics: SidecarMetrics): void {
    metrics.mirrored.cell({ outcome }).value++;
  }
}

/** Envoy's mark, for applications that want to tell: `catalog-shadow:8080`. */
function shadowAuthority(authority: string): string {
  return authority.replace(/(?=:\d+$|$)/, "-shadow");
}

/** What `heddle check` concludes about the instances of the mesh. */

import type { StatusReply } from "../../control/protocol.ts";
import { formatDuration } from "../../policy/duration.ts";
import { serviceRef } from "../../policy/names.ts";
import { type Finding, listed } from "./finding.ts";
import type { HealthFacts } from "./health-facts.ts";

/** A leaf is renewed at half life; one that is so near its end has failed to. */
const LEAF_WARN_MS = 15 * 60_000;
/**
 * Certificates hold from a minute before they are signed: to a clock that is further behind they are not valid yet. A
 * word that was held up on its way looks like a clock that is behind, by seconds.
 */
const SKEW_WARN_MS = 30_000;

/** The findings about instances, in the order in which they are shown. */
export function instanceFindings({ control, nowMs, version, state }: HealthFacts): Finding[] {
  const group = "instances";
  if (control === undefined) return [{ group, check: "instances", verdict: "skip", detail: "nobody to ask" }];
  // Control told of the instances right before that.
  const { askedMs } = control;
  const { services } = control.status;
  const { heard, silent } = views(control.status);
  const running = new Set(heard.map(({ service }) => service));
  const isOurs = ({ namespace, name }: (typeof services)[number]): boolean =>
    state.namespaces.get(namespace)?.services.get(name)?.value.external === undefined;
  const idle = services
    .filter(isOurs)
    .map((service) => serviceRef(service.namespace, service.name))
    .filter((ref) => !running.has(ref));
  const undeclared = heard.filter(({ wanted }) => wanted === undefined);
  const unready = heard.filter(({ state }) => state !== "ready").map(({ name, state }) => `${name} is ${state}`);
  const rejecting = heard.flatMap(({ name, rejected }) => (rejected ? [`${name}: ${rejected.reason}`] : []));
  const behind = heard.filter(({ revision, wanted = 0 }) => revision < wanted);
  const bare = heard.filter(({ endMs = 0 }) => endMs <= nowMs);
  const ending = heard.filter(({ endMs = 0 }) => endMs > nowMs && endMs - nowMs < LEAF_WARN_MS);
  const skewed = heard.flatMap(({ name, clockMs = askedMs }) => {
    const skewMs = clockMs - askedMs;
    const way = skewMs > 0 ? "ahead" : "behind";
    return Math.abs(skewMs) > SKEW_WARN_MS ? [`${name} is ${formatDuration(seconds(skewMs))} ${way}`] : [];
  });
  const older = heard.filter((view) => view.version !== version).map((view) => `${view.name} is ${view.version}`);
  const [warning, failure] = [listed(group, "warn"), listed(group, "fail")];
  return [
    warning(
      "instances are heard of",
      names(silent),
      "does the sidecar run, and reach NATS?",
      `${heard.length} connected`,
    ),
    warning(
      "every service has an instance",
      idle,
      "start a sidecar, or delete the service",
      `${services.length} services`,
    ),
    warning("every instance is of a declared service", names(undeclared), "declare the service, or stop the sidecar"),
    warning(
      "every instance has a name of its own",
      heard.flatMap(({ name, rivals }) => rivals.map((address) => `${name} is also at ${address}`)),
      "callers are not sent there: start that one with another --instance",
    ),
    warning("instances are ready", unready, "their applications do not answer, or they are just starting"),
    failure("no policy was refused", rejecting, "bring the sidecar to the version of control, or roll the change back"),
    warning("instances enforce what they should", names(behind), "a moment later they should: heddle wait"),
    failure(
      "instances have a certificate",
      names(bare),
      "their log says why: see heddle token list, heddle identity list, and their clocks",
    ),
    warning("clocks of instances agree", skewed, "run NTP there: certificates, tokens and histories go by the clock"),
    warning("certificates are renewed in time", names(ending), "their log says why they are not"),
    warning("sidecars are of this version", older, `this program is ${version}: bring all to one version`),
  ];
}

function views({ services, instances }: StatusReply) {
  const expected = new Map(
    services.map((service) => [serviceRef(service.namespace, service.name), service.expectedRevision]),
  );
  const all = instances.map(({ status, connected, silentMs, rivals = [] }) => {
    const service = serviceRef(status.namespace, status.service);
    return {
      ...status,
      connected,
      rivals,
      service,
      name: `${service} ${status.instance}`,
      /** Of its certificate; undefined: it has none. */
      endMs: status.certificateExpiry === undefined ? undefined : Date.parse(status.certificateExpiry),
      /** What its clock said when control told of it; undefined: it has never told. */
      clockMs: status.time === undefined ? undefined : Date.parse(status.time) + silentMs,
      /** Revision that it should enforce; undefined: its service is not declared. */
      wanted: expected.get(service),
    };
  });
  return { heard: all.filter(({ connected }) => connected), silent: all.filter(({ connected }) => !connected) };
}

function names(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name);
}

/** Whole seconds, whichever way, in milliseconds. */
function seconds(ms: number): number {
  return Math.round(Math.abs(ms) / 1000) * 1000;
}

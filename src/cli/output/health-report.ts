/** What `heddle check` concludes from what it has seen. No I/O: the facts come in, verdicts in words go out. */

import { CLOCK_TOLERANCE_MS } from "../../control/admission.ts";
import { documentsOf } from "../../events/documents.ts";
import { untrustedExternals } from "../../events/external-services.ts";
import { serviceRef } from "../../policy/names.ts";
import { isLoopback } from "../input/address.ts";
import { formatRelative } from "../input/moment.ts";
import { type Finding, finding, listed, named, type Verdict } from "./finding.ts";
import type { ControlFacts, HealthFacts } from "./health-facts.ts";
import { instanceFindings } from "./instance-health.ts";
import { weakMtls } from "./weak-mtls.ts";

const DAY_MS = 86_400_000;
/** Sidecars report once a minute; long enough for callers that call now and then. */
export const STRANGERS_WINDOW_MS = 10 * 60_000;
/** The oldest nats-server that has what the mesh needs. */
const SERVER_VERSION_MIN = [2, 9] as const;
/** A clock that is off by more than this makes histories and certificates odd before commands are refused. */
const SKEW_WARN_MS = 5_000;
/** Certificates that sign are replaced long before this. */
const AUTHORITY_WARN_MS = 30 * DAY_MS;
/** The server's own may be of an authority that signs for some weeks only. */
const SERVER_WARN_MS = 7 * DAY_MS;
const TOKEN_WARN_MS = 7 * DAY_MS;
/** A replica's word of where it is may be so old. */
const HEARTBEAT_MS = 10_000;

/** Everything that is checked, in the order in which a person would look. */
export function healthReport(facts: HealthFacts): Finding[] {
  return [...natsFindings(facts), ...controlFindings(facts), ...instanceFindings(facts), ...policyFindings(facts)];
}

function natsFindings({ nats, operator, state, ledgerRevision, nowMs }: HealthFacts): Finding[] {
  const { urls, facts, certificateEndMs, letsAnybodyIn, hearsCommands } = nats;
  const group = "NATS";
  const [major = 0, minor = 0] = facts.serverVersion.split(".").map(Number);
  const [majorMin, minorMin] = SERVER_VERSION_MIN;
  const isOld = major < majorMin || (major === majorMin && minor < minorMin);
  const known = state.operators.get(operator.publicKey);
  return [
    finding(group, "the server can be reached", isOld ? "fail" : "ok", {
      detail: `${urls.join(",")}, nats-server ${facts.serverVersion}, ${facts.roundTripMs} ms`,
      hint: `nats-server ${SERVER_VERSION_MIN.join(".")} or newer is needed`,
    }),
    finding(group, "the connection is encrypted", isPrivate(nats) ? "ok" : "warn", {
      detail: facts.isEncrypted ? "TLS" : isPrivate(nats) ? "no TLS, on loopback" : "no TLS",
      hint: "give the servers a certificate (heddle up --listen does so), and name whom to believe with --tls-ca",
    }),
    ...(certificateEndMs === undefined
      ? []
      : [
          finding(group, "its certificate is good for long", lifeVerdict(certificateEndMs - nowMs, SERVER_WARN_MS), {
            detail: `ends ${formatRelative(certificateEndMs, nowMs)}`,
            hint: "renew it: heddle up does so by itself for one that it has made",
          }),
        ]),
    finding(group, "nobody gets in without credentials", letsAnybodyIn ? "fail" : "ok", {
      detail: letsAnybodyIn ? "an anonymous connection was let in" : "an anonymous connection is refused",
      hint: "configure the servers with the mesh's operator and resolver: see the README, Several machines",
    }),
    finding(group, "permissions are enforced", hearsCommands ? "fail" : "ok", {
      detail: hearsCommands
        ? `${operator.name} may hear what others command`
        : "what is for control is closed to others",
      hint: "the servers do not go by the mesh's JWTs, or the credentials are not an operator's",
    }),
    finding(group, "the credentials are an operator's", known === undefined ? "fail" : "ok", {
      detail:
        known === undefined
          ? `the ledger knows no operator with the key of ${operator.name}`
          : `${known.name}, ${known.role}`,
      hint: "ask an admin for new ones: heddle operator add",
    }),
    finding(group, "the ledger can be read", ledgerRevision > 0 ? "ok" : "fail", {
      detail: ledgerRevision > 0 ? `revision ${ledgerRevision}` : "it is empty",
      hint: "start a control replica: heddle up, or heddle control",
    }),
  ];
}

function isPrivate({ urls, facts }: HealthFacts["nats"]): boolean {
  return facts.isEncrypted || urls.every((url) => isLoopback(new URL(url).hostname));
}

function controlFindings(facts: HealthFacts): Finding[] {
  const group = "control";
  const { control, ledgerRevision, lastChangeMs, nowMs, version } = facts;
  if (control === undefined) {
    const hint = "start one: heddle up, or heddle control";
    return [{ group, check: "a replica answers", verdict: "fail", detail: "none does", hint }];
  }
  const { replicas, revocations, rootNotAfterMs, issuerNotAfterMs } = control.check;
  const settled = lastChangeMs === undefined || nowMs - lastChangeMs > HEARTBEAT_MS;
  const behind = settled ? replicas.filter(({ revision }) => revision < ledgerRevision) : [];
  const others = replicas.filter((replica) => replica.version !== version);
  const keyless = replicas.filter(({ cannotSign }) => cannotSign !== undefined);
  const ownMs = skewOf(control);
  const skewMs = Math.max(...replicas.map((replica) => Math.abs(ownMs + replica.skewMs)));
  const endMs = Math.min(rootNotAfterMs, issuerNotAfterMs);
  return [
    finding(group, "a replica answers", "ok", { detail: `${replicas.length} running` }),
    finding(group, "replicas are at the end of the ledger", behind.length === 0 ? "ok" : "warn", {
      detail:
        behind.length === 0
          ? `revision ${control.status.revision}`
          : named(behind.map(({ id, revision }) => `${id} at ${revision}`)),
      hint: "look into the log of a replica that stays behind",
    }),
    finding(group, "replicas are of this version", others.length === 0 ? "ok" : "warn", {
      detail: others.length === 0 ? version : named(others.map((replica) => `${replica.id} is ${replica.version}`)),
      hint: `this program is ${version}: bring all to one version`,
    }),
    finding(group, "replicas sign certificates", signVerdict(keyless.length, replicas.length), {
      detail:
        keyless.length === 0
          ? "all do"
          : named(keyless.map(({ id, cannotSign = "" }) => `${id} does not: ${cannotSign}`)),
      hint: "give every replica the same authority: docs/operations.md",
    }),
    finding(group, "clocks agree", skewMs > CLOCK_TOLERANCE_MS ? "fail" : skewMs > SKEW_WARN_MS ? "warn" : "ok", {
      detail: `${skewMs > SKEW_WARN_MS ? "up to " : "within "}${skewMs > SKEW_WARN_MS ? Math.round(skewMs / 1000) : SKEW_WARN_MS / 1000} s apart`,
      hint: `commands from a clock that is ${CLOCK_TOLERANCE_MS / 60_000} minutes off are refused: run NTP`,
    }),
    finding(group, "the certificate authority is good for long", lifeVerdict(endMs - nowMs, AUTHORITY_WARN_MS), {
      detail: `its certificates end ${formatRelative(endMs, nowMs)}`,
      hint: "see heddle ca status",
    }),
    finding(group, "whoever is revoked is shut out of NATS", revocations === undefined ? "ok" : "fail", {
      detail: revocations ?? "the servers know all that were revoked",
      hint: "the servers need a resolver of type full, and control the accounts' keys (heddle control --nats-keys)",
    }),
  ];
}

function policyFindings(facts: HealthFacts): Finding[] {
  const { state, control, nowMs } = facts;
  const documents = documentsOf(state).map(({ document }) => document);
  const open = state.mesh?.value.access === "allow";
  const ending = [...state.tokens.values()].flatMap(({ namespace, service, expiresAt }) => {
    const leftMs = expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt) - nowMs;
    if (!(leftMs > 0 && leftMs < TOKEN_WARN_MS)) return [];
    return [`${serviceRef(namespace, service)} ${formatRelative(nowMs + leftMs, nowMs)}`];
  });
  const warning = listed("policy", "warn");
  const notEnforced = control?.status.notEnforced ?? [];
  return [
    warning("mutual TLS is strict everywhere", weakMtls(documents), "set it back once everybody has a sidecar"),
    strangersFinding(facts),
    warning(
      "other meshes that are called are trusted",
      untrustedExternals(state),
      "heddle ca federate, with their bundle",
    ),
    finding("policy", "calls that no rule allows are refused", open ? "warn" : "ok", {
      detail: open ? "Mesh/_mesh/default spec.access is allow" : "",
      hint: "set it to deny, and allow what is meant: heddle allow",
    }),
    warning("all that was accepted is enforced", notEnforced, "this version does not know how to yet"),
    warning("no join token ends soon", ending, "create another one: heddle token create"),
  ];
}

/** Who would be turned away if mutual TLS were strict. */
function strangersFinding({ strangers }: HealthFacts): Finding {
  const window = `in the last ${STRANGERS_WINDOW_MS / 60_000} minutes`;
  const found = [...(strangers ?? [])].map(([service, count]) => `${service} ${count}`);
  return finding("policy", "callers show who they are", found.length === 0 ? "ok" : "warn", {
    detail:
      found.length > 0 ? `calls without an identity ${window}: ${named(found)}` : strangers ? `all did ${window}` : "",
    hint: "heddle top --edges shows how often, the called sidecar's access log from where (downstream_remote_address)",
  });
}

/** How far the clock of the replica that answered is off at least: a slow answer is no wrong clock. */
function skewOf({ check: { timeMs }, askedMs, answeredMs }: ControlFacts): number {
  if (timeMs < askedMs) return timeMs - askedMs;
  return timeMs > answeredMs ? timeMs - answeredMs : 0;
}

/** One that can sign is enough for now. */
function signVerdict(keyless: number, all: number): Verdict {
  if (keyless === 0) return "ok";
  return keyless < all ? "warn" : "fail";
}

function lifeVerdict(leftMs: number, warnMs: number): Verdict {
  if (leftMs <= 0) return "fail";
  return leftMs < warnMs ? "warn" : "ok";
}

/** What a replica tells the mesh, and what it hears back: snapshots and endpoints out, heartbeats in. */

import type { Bucket } from "../nats/bus.ts";
import type { NatsBus } from "../nats/nats-bus.ts";
import { EndpointPublisher, type StatusRefusal } from "../projections/endpoint-publisher.ts";
import { INSTANCES_PER_SERVICE } from "../projections/endpoints.ts";
import { Hearing } from "../projections/hearing.ts";
import { SnapshotPublisher } from "../projections/snapshot-store.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { Convergence } from "./convergence.ts";
import { Roster } from "./roster.ts";

/** Three heartbeats of five seconds: one may be lost and one late. */
const INSTANCE_TTL_MS = 15_000;
/** Silence is looked for this many times within one life. */
const LOOKS_PER_TTL = 5;

export interface PublicationOptions {
  readonly bus: NatsBus;
  /** Where workloads are heard; `bus` by default. */
  readonly heard?: NatsBus;
  /** `CONFIG_BUCKET`. */
  readonly configBucket: Bucket;
  /** `ENDPOINT_BUCKET`. */
  readonly endpointBucket: Bucket;
  /** Silence after which an instance is taken for dead. */
  readonly instanceTtlMs?: number;
  /** Instances of one service that are kept. */
  readonly instancesPerService?: number;
  /** Told of every status that was not taken in. */
  readonly refused: (reason: StatusRefusal) => void;
  /** Told of every change that every instance enforces: how long that took, in milliseconds. */
  readonly converged: (durationMs: number) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

/** The publishers of a replica, and what they keep track of instances by. */
export interface Publication {
  readonly snapshots: SnapshotPublisher;
  readonly endpoints: EndpointPublisher;
  readonly roster: Roster;
  readonly convergence: Convergence;
  readonly acknowledgements: Acknowledgements;
  /** Looks for instances that have fallen silent, until what is returned is called. */
  watchSilence(): () => void;
}

/** Puts the parts together; the publishers are still to be started. */
export function createPublication(options: PublicationOptions): Publication {
  const { bus, configBucket, endpointBucket, instanceTtlMs: ttlMs = INSTANCE_TTL_MS, now, random, logger } = options;
  const { heard = bus, instancesPerService = INSTANCES_PER_SERVICE } = options;
  const warn = (message: string): void => logger.warn({}, message);
  const snapshots = new SnapshotPublisher({ bus, bucket: configBucket, warn, random });
  const roster = new Roster(ttlMs, instancesPerService);
  const endpoints = new EndpointPublisher({
    bus,
    heard,
    instancesPerService,
    onRefused: options.refused,
    bucket: endpointBucket,
    now,
    random,
    warn,
    ttlMs,
    onStatus: (status) => {
      if (roster.hear(status, now()) !== "nothing") convergence.heard(status);
    },
  });
  const { registry } = endpoints;
  const convergence = new Convergence({ roster, registry, publisher: snapshots, now, observe: options.converged });
  const acknowledgements = new Acknowledgements({ roster, registry, publisher: snapshots, now, ttlMs });
  const watchSilence = (): (() => void) => {
    const hearing = new Hearing(heard);
    const forget = heard.onConnection((event) => {
      if (event !== "connected") return;
      roster.touchAll(now());
      acknowledgements.listenAnew();
    });
    const timer = setInterval(() => {
      // It was we who could not hear.
      if (!hearing.look()) {
        roster.touchAll(now());
        acknowledgements.listenAnew();
      }
      roster.forget(now());
      convergence.advance();
    }, ttlMs / LOOKS_PER_TTL);
    return () => {
      forget();
      clearInterval(timer);
    };
  };
  return { snapshots, endpoints, roster, convergence, acknowledgements, watchSilence };
}

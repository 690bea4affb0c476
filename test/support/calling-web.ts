/** A mesh in which the sidecar of `shop/web` calls another service: what a test looks at on the caller's side. */

import { readFile } from "node:fs/promises";
import type { ClusterView } from "../../src/proxy/sidecar/data-plane.ts";
import { eventually, type TestMesh, type TestSidecar } from "./mesh.ts";

/** The fields of an access log line that tests look at. */
export interface AccessLine {
  readonly request_id: string;
  readonly path: string;
  readonly response_code: number;
  readonly response_flags: string;
  readonly response_code_details: string | null;
  readonly policy_origin: string | null;
  readonly upstream_host: string | null;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  /** Milliseconds. */
  readonly duration: number;
}

/** What a sidecar's `/clusters` says. */
export async function clustersOf({ admin }: { readonly admin: string }): Promise<ClusterView[]> {
  return (await (await fetch(`${admin}/clusters`)).json()) as ClusterView[];
}

/** Resolves when a sidecar goes by this revision, or a later one. */
export async function untilInForce({ admin }: { readonly admin: string }, revision: number): Promise<void> {
  await eventually(async () => {
    const dump = (await (await fetch(`${admin}/config_dump`)).json()) as { snapshot: { revision: number } };
    if (dump.snapshot.revision < revision) throw new Error(`revision ${dump.snapshot.revision}, not ${revision}`);
  });
}

export class CallingWeb {
  protected constructor(
    readonly mesh: TestMesh,
    readonly web: TestSidecar,
  ) {}

  /** Web's listener for every service. */
  get outboundPort(): number {
    return this.web.sidecar.outboundAddress.port;
  }

  /** Applies policy that has something to say to web, and resolves when web's sidecar goes by it. */
  async apply(text: string): Promise<void> {
    await untilInForce(this.web, await this.mesh.apply(text));
  }

  /** Waits until web's sidecar knows `count` endpoints of `shop/<service>`. */
  async reaches(count: number, service: string): Promise<void> {
    await eventually(async () => {
      const cluster = (await this.clusters()).find((one) => one.service === `shop/${service}`);
      if (cluster?.endpoints.length !== count) throw new Error(`web knows ${cluster?.endpoints.length} endpoints`);
    });
  }

  clusters(of: TestSidecar = this.web): Promise<ClusterView[]> {
    return clustersOf(of);
  }

  /** The first line of the access log that is the one looked for, once it is there. */
  protected findLine(isWanted: (line: AccessLine) => boolean, of: TestSidecar): Promise<AccessLine> {
    return eventually(async () => {
      const lines = (await readFile(of.accessLogFile, "utf8")).split("\n").filter((text) => text !== "");
      const found = lines.map((text) => JSON.parse(text) as AccessLine).find(isWanted);
      if (found === undefined) throw new Error(`no such line among ${lines.length}`);
      return found;
    });
  }
}

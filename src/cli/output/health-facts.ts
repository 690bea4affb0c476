/** What `heddle check` has seen. */

import type { CheckReply, StatusReply } from "../../control/protocol.ts";
import type { MeshState } from "../../events/state.ts";
import type { ConnectionFacts } from "../../nats/nats-bus.ts";

export interface ControlFacts {
  readonly status: StatusReply;
  readonly check: CheckReply;
  /** Between these two, by the clock of whoever asked, a replica has read its own. Milliseconds since the epoch. */
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** What was seen of a mesh. */
export interface HealthFacts {
  readonly nowMs: number;
  /** Of the program that asks. */
  readonly version: string;
  readonly nats: {
    readonly urls: readonly string[];
    readonly facts: ConnectionFacts;
    /** Of the server's certificate, milliseconds since the epoch; undefined without TLS. */
    readonly certificateEndMs: number | undefined;
    /** Whether somebody without credentials gets in. */
    readonly letsAnybodyIn: boolean;
    /** Whether these credentials may hear what is said to control. */
    readonly hearsCommands: boolean;
  };
  readonly operator: { readonly name: string; readonly publicKey: string };
  readonly ledgerRevision: number;
  /** When the last change was made; undefined for an empty ledger. */
  readonly lastChangeMs: number | undefined;
  readonly state: MeshState;
  /**
   * Calls of the last `STRANGERS_WINDOW_MS` whose caller has shown no identity, by called service; undefined where that was
   * not looked at, or these credentials may not.
   */
  readonly strangers: ReadonlyMap<string, number> | undefined;
  /** Undefined where no replica answers. */
  readonly control: ControlFacts | undefined;
}

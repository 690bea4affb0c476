/** The endpoints among which a request may choose: all of a service, or those of a subset. Rebuilt when they change. */

import type { SnapshotUpstream } from "../../projections/snapshot.ts";
import { authorityOf } from "../io/address.ts";
import { buildMaglev, buildRing, type HashLookup } from "./hash-table.ts";
import { type Labels, levelsOf } from "./locality.ts";
import type { Member } from "./member.ts";

export class Group {
  /** Nearest first; at least one, which may be empty. */
  readonly levels: readonly (readonly Member[])[];
  /** All have the same weight, slow start aside. */
  readonly even: boolean;
  readonly #tables = new Map<string, HashLookup>();

  /** @param own labels of the caller's instance; absent: distance does not matter. */
  constructor(
    readonly members: readonly Member[],
    own: Labels | undefined,
  ) {
    const levels = own === undefined ? [members] : levelsOf(members, own);
    this.levels = levels.length === 0 ? [members] : levels;
    this.even = members.every(({ weight }) => weight === members[0]?.weight);
  }

  /** The member that owns a hash, among those that are `allowed`. Distance does not matter: where keys go must not change. */
  owner(
    algorithm: SnapshotUpstream["loadBalancer"],
    hash: number,
    allowed: (member: Member) => boolean,
  ): Member | undefined {
    const { members } = this;
    if (members.length === 0) return undefined;
    let lookUp = this.#tables.get(algorithm);
    if (lookUp === undefined) {
      const hashables = members.map(({ endpoint, weight }) => ({ key: authorityOf(endpoint), weight }));
      lookUp = algorithm === "maglev" ? buildMaglev(hashables) : buildRing(hashables);
      this.#tables.set(algorithm, lookUp);
    }
    const at = lookUp(hash, (index) => {
      const member = members[index];
      return member === undefined || !allowed(member);
    });
    return at === undefined ? undefined : members[at];
  }
}

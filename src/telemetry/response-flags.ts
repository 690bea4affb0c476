/**
 * What happened to a request, in Envoy's flags. A request may have several, so that a set of them is one integer: the
 * hot path neither compares nor joins strings.
 */

/** In Envoy's order, which is also the order in which they are printed. */
export const RESPONSE_FLAGS = [
  "UH",
  "UF",
  "UO",
  "NR",
  "URX",
  "UT",
  "UC",
  "UR",
  "DC",
  "LR",
  "RL",
  "FI",
  "DI",
  "UAEX",
  "RBAC",
  "DPE",
  "UPE",
  "DT",
] as const;

export type ResponseFlag = (typeof RESPONSE_FLAGS)[number];

/** A set of flags, one bit for each. */
export type FlagSet = number;

export const NO_FLAGS: FlagSet = 0;

const bits = new Map<ResponseFlag, FlagSet>(RESPONSE_FLAGS.map((flag, index) => [flag, 1 << index]));

/** The set that holds just these: `record.flags |= flagSet("URX", "UF")`. */
export function flagSet(...flags: readonly ResponseFlag[]): FlagSet {
  return flags.reduce((set, flag) => set | (bits.get(flag) ?? 0), NO_FLAGS);
}

/** Texts of sets seen so far; only a handful of the possible combinations ever occur. */
const texts = new Map<FlagSet, string>([[NO_FLAGS, "-"]]);

/** `-` for none, else the flags joined by commas, as in Envoy's access log. */
export function formatFlags(set: FlagSet): string {
  const known = texts.get(set);
  if (known !== undefined) return known;
  const text = RESPONSE_FLAGS.filter((_, index) => (set & (1 << index)) !== 0).join(",");
  texts.set(set, text);
  return text;
}

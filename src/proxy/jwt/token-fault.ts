/** Why a token is no good: in words for the person who sent it, and in the words of RFC 6750 for its program. */

export type TokenFault =
  | "missing"
  | "malformed"
  | "unknown_issuer"
  | "unknown_key"
  | "algorithm_refused"
  | "bad_signature"
  | "expired"
  | "not_yet_valid"
  | "wrong_audience"
  | "invalid"
  /** Not the token's fault: its issuer's keys could not be had. */
  | "keys_unavailable";

const SENTENCES: Readonly<Record<TokenFault, string>> = {
  missing: "the request carries no token",
  malformed: "the token is no signed JSON Web Token",
  unknown_issuer: "the token is of an issuer that this service does not know",
  unknown_key: "the token is signed with a key that its issuer does not publish",
  algorithm_refused: "the token is signed with an algorithm that this service does not accept",
  bad_signature: "the token's signature is wrong",
  expired: "the token has expired",
  not_yet_valid: "the token is not valid yet",
  wrong_audience: "the token is for another audience",
  invalid: "the token does not say what it must",
  keys_unavailable: "the keys of the token's issuer cannot be had at the moment",
};

/** A clause without a full stop. Never holds anything of the token. */
export function describeTokenFault(fault: TokenFault): string {
  return SENTENCES[fault];
}

/** `WWW-Authenticate` (RFC 6750 §3): without an error where there was no token at all. */
export function bearerChallenge(service: string, fault: TokenFault): string {
  const realm = `Bearer realm="${service}"`;
  if (fault === "missing") return realm;
  return `${realm}, error="invalid_token", error_description="${describeTokenFault(fault)}"`;
}

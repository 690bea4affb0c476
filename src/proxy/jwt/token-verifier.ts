/** Validates end-user tokens against the providers of a snapshot, and remembers for a while those that were good. */

import { createHash } from "node:crypto";
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from "jose";
import { err, ok, type Result } from "../../policy/result.ts";
import type { SnapshotJwt } from "../../projections/snapshot.ts";
import type { Claims } from "../filters/claims.ts";
import type { JwksCache, KeySet } from "./jwks-cache.ts";
import type { TokenFault } from "./token-fault.ts";

/** Good tokens that are remembered, by digest: users come back within moments. */
const REMEMBERED_MAX = 2_000;
/**
 * Keys of one issuer that are tried on a token that does not say which it is signed with: whoever sends it pays
 * nothing.
 */
const CANDIDATES_MAX = 4;
/** At most this long, so that tokens of a key that its issuer withdraws do not pass for much longer. */
const REMEMBERED_MS = 60_000;

export type JwtProvider = SnapshotJwt["providers"][number];

export interface ValidToken {
  readonly claims: Claims;
  readonly provider: JwtProvider;
}

export type TokenVerdict = Result<ValidToken, TokenFault>;

interface Remembered {
  readonly token: ValidToken;
  /** Unix milliseconds. */
  readonly untilMs: number;
}

export class TokenVerifier {
  readonly #jwks: Pick<JwksCache, "keysAt" | "lookAgain">;
  readonly #wallMs: () => number;
  readonly #remembered = new Map<string, Remembered>();
  readonly #ownKeys = new Map<JwtProvider, KeySet>();

  /** @param wallMs Unix milliseconds. */
  constructor(
    readonly settings: SnapshotJwt,
    jwks: Pick<JwksCache, "keysAt" | "lookAgain">,
    wallMs: () => number,
  ) {
    this.#jwks = jwks;
    this.#wallMs = wallMs;
  }

  /** A token that was found good a moment ago. */
  remembered(token: string): ValidToken | undefined {
    const known = this.#remembered.get(digestOf(token));
    return known !== undefined && this.#wallMs() < known.untilMs ? known.token : undefined;
  }

  /** Never rejects. */
  async verify(token: string): Promise<TokenVerdict> {
    const { decodeJwt } = await import("jose");
    let issuer: unknown;
    try {
      issuer = decodeJwt(token).iss;
    } catch {
      return err("malformed");
    }
    const provider = this.settings.providers.find((one) => one.issuer === issuer);
    if (provider === undefined) return err("unknown_issuer");
    const verdict = await this.#verifyWith(provider, token);
    // An issuer that was set up anew may reuse a key id for another key: fetch it again before refusing the token.
    const mayBeNews = verdict === "unknown_key" || verdict === "bad_signature";
    return mayBeNews && (await this.#lookAgain(provider))
      ? asVerdict(await this.#verifyWith(provider, token))
      : asVerdict(verdict);
  }

  async #lookAgain({ jwksUri }: JwtProvider): Promise<boolean> {
    return jwksUri !== undefined && (await this.#jwks.lookAgain(jwksUri));
  }

  async #verifyWith(provider: JwtProvider, token: string): Promise<ValidToken | TokenFault> {
    const { jwtVerify } = await import("jose");
    const keys = await this.#keysOf(provider);
    if (keys === undefined) return "keys_unavailable";
    const nowMs = this.#wallMs();
    const options: JWTVerifyOptions = {
      issuer: provider.issuer,
      audience: provider.audiences,
      algorithms: provider.algorithms,
      clockTolerance: provider.clockSkewMs / 1000,
      currentDate: new Date(nowMs),
      requiredClaims: ["exp"],
    };
    try {
      const { payload } = await jwtVerify(token, keys as JWTVerifyGetKey, options).catch((error: unknown) =>
        verifyWithCandidates(token, error, options),
      );
      const valid: ValidToken = { claims: payload, provider };
      this.#remember(token, valid, payload, nowMs);
      return valid;
    } catch (error) {
      return faultOf(error);
    }
  }

  async #keysOf(provider: JwtProvider): Promise<KeySet | undefined> {
    if (provider.jwksUri !== undefined) return this.#jwks.keysAt(provider.jwksUri);
    const known = this.#ownKeys.get(provider);
    if (known !== undefined) return known;
    const { createLocalJWKSet } = await import("jose");
    const keys = createLocalJWKSet(provider.jwks ?? { keys: [] });
    this.#ownKeys.set(provider, keys);
    return keys;
  }

  #remember(token: string, valid: ValidToken, { exp = 0 }: JWTPayload, nowMs: number): void {
    const untilMs = Math.min(exp * 1000 + valid.provider.clockSkewMs, nowMs + REMEMBERED_MS);
    if (this.#remembered.size >= REMEMBERED_MAX) {
      // A map keeps the order in which its entries came: the first one has been there longest.
      const [oldest] = this.#remembered.keys();
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    const key = digestOf(token);
    this.#remembered.delete(key);
    this.#remembered.set(key, { token: valid, untilMs });
  }
}

/**
 * A token need not name its key (RFC 7515 §4.1.4), and while an issuer changes from one key to the next, two may fit:
 * each is tried. Rejects with what the last one was refused for, or with `error` where it is about something else.
 */
async function verifyWithCandidates(token: string, error: unknown, options: JWTVerifyOptions) {
  const { errors, jwtVerify } = await import("jose");
  if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
  let refusal: unknown = error;
  let tried = 0;
  for await (const key of error) {
    if (++tried > CANDIDATES_MAX) break;
    try {
      return await jwtVerify(token, key, options);
    } catch (cause) {
      refusal = cause;
      if (!(cause instanceof errors.JWSSignatureVerificationFailed)) break;
    }
  }
  throw refusal;
}

/** Tokens themselves are not kept: whoever reads our memory should not find any. */
function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

function asVerdict(outcome: ValidToken | TokenFault): TokenVerdict {
  return typeof outcome === "string" ? err(outcome) : ok(outcome);
}

/** By the codes of the library's errors. Its messages may quote the token, and are not passed on. */
function faultOf(error: unknown): TokenFault {
  const { code, claim } = error as { readonly code?: unknown; readonly claim?: unknown };
  switch (code) {
    case "ERR_JWT_EXPIRED":
      return "expired";
    case "ERR_JWKS_NO_MATCHING_KEY":
      return "unknown_key";
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
      return "bad_signature";
    case "ERR_JOSE_ALG_NOT_ALLOWED":
      return "algorithm_refused";
    case "ERR_JWS_INVALID":
    case "ERR_JWT_INVALID":
      return "malformed";
    case "ERR_JWT_CLAIM_VALIDATION_FAILED":
      if (claim === "aud") return "wrong_audience";
      return claim === "nbf" ? "not_yet_valid" : "invalid";
    default:
      return "invalid";
  }
}

/** The tokens of the requests at hand: validated before they are decided upon, and known until they end. */

import { err, ok, type Result } from "../../policy/result.ts";
import type { RequestHead } from "../codec/message.ts";
import { bearerToken } from "./bearer.ts";
import type { TokenFault } from "./token-fault.ts";
import type { TokenVerdict, TokenVerifier, ValidToken } from "./token-verifier.ts";

interface Judged {
  readonly verifier: TokenVerifier;
  readonly verdict: TokenVerdict;
}

interface Validating {
  /** Undefined: the service validates no tokens. */
  readonly tokens: TokenVerifier | undefined;
}

export class RequestTokens {
  readonly #judged = new WeakMap<RequestHead, Judged>();

  /** Undefined where the request's token is known already, or there is none; else resolves when it is. */
  prepare(request: RequestHead, { tokens }: Validating): Promise<void> | undefined {
    if (tokens === undefined || this.#judged.get(request)?.verifier === tokens) return undefined;
    const token = bearerToken(request.headers);
    if (!token.ok || token.value === undefined) return undefined;
    const known = tokens.remembered(token.value);
    if (known !== undefined) {
      this.#judged.set(request, { verifier: tokens, verdict: ok(known) });
      return undefined;
    }
    return tokens.verify(token.value).then((verdict) => {
      this.#judged.set(request, { verifier: tokens, verdict });
    });
  }

  /** The request's valid token; undefined where it needs none. Call `prepare` first. */
  of(request: RequestHead, { tokens }: Validating): Result<ValidToken | undefined, TokenFault> {
    if (tokens === undefined) return ok(undefined);
    const judged = this.#judged.get(request);
    if (judged?.verifier === tokens) return judged.verdict;
    const token = bearerToken(request.headers);
    if (!token.ok) return token;
    // One that nobody has judged is none that may be believed.
    if (token.value !== undefined) return err("invalid");
    return tokens.settings.required ? err("missing") : ok(undefined);
  }

  /** The token with which a request was let in. */
  admitted(request: RequestHead): ValidToken | undefined {
    const verdict = this.#judged.get(request)?.verdict;
    return verdict?.ok === true ? verdict.value : undefined;
  }
}

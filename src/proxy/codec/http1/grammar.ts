/** Character tables and small lexers of RFC 9110 §5.6 and RFC 9112. All of them read latin1 text, one code per byte. */

const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;

const TOKEN_PUNCTUATION = "!#$%&'*+-.^_`|~";

/** Lower-case form of each `tchar` (RFC 9110 §5.6.2); 0 for what cannot stand in a token. */
const TOKEN_LOWER = new Uint8Array(256);
/** 1 where `field-vchar`, SP or HTAB may stand (RFC 9110 §5.5). Every other control character is refused. */
const FIELD_VALUE = new Uint8Array(256);
/** 1 where a request target may have the byte: visible ASCII but for `#`, since a fragment is never sent. */
const TARGET = new Uint8Array(256);
/** Value of a hexadecimal digit, 0xff for everything else. */
const HEX = new Uint8Array(256).fill(0xff);

for (let code = 0; code < 256; code++) {
  const char = String.fromCharCode(code);
  if (/[0-9A-Za-z]/.test(char) || TOKEN_PUNCTUATION.includes(char))
    TOKEN_LOWER[code] = char.toLowerCase().charCodeAt(0);
  if (code === TAB || (code >= SPACE && code !== 0x7f)) FIELD_VALUE[code] = 1;
  if (code > SPACE && code < 0x7f && char !== "#") TARGET[code] = 1;
  if (/[0-9A-Fa-f]/.test(char)) HEX[code] = Number.parseInt(char, 16);
}

/** Lower-case code of a token character, or 0. */
export function tokenLower(code: number): number {
  return TOKEN_LOWER[code] ?? 0;
}

/** True for a byte that a field value may hold. `NaN`, which `charCodeAt` gives past the end, is none. */
export function isFieldValueCode(code: number): boolean {
  return FIELD_VALUE[code] === 1;
}

/** Value of a hexadecimal digit, or 0xff. */
export function hexValue(code: number): number {
  return HEX[code] ?? 0xff;
}

/** A non-empty token (RFC 9110 §5.6.2). */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (tokenLower(text.charCodeAt(at)) === 0) return false;
  }
  return text.length > 0;
}

const TOKEN = "[0-9A-Za-z!#$%&'*+\\-.^_`|~]+";
const QUOTED_STRING = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
const CHUNK_EXTENSION = new RegExp(`^(?:[ \\t]*;[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*(?:${TOKEN}|${QUOTED_STRING}))?)+$`);

/** `chunk-ext` (RFC 9112 §7.1.1), from its first semicolon on. Rare, and bounded, so that it may take its time. */
export function isChunkExtension(text: string): boolean {
  return CHUNK_EXTENSION.test(text);
}

/** `protocol` (RFC 9110 §7.8): a name, and perhaps its version, as in `SPDY/3.1`. */
export function isProtocol(text: string): boolean {
  const slash = text.indexOf("/");
  return slash < 0 ? isToken(text) : isToken(text.slice(0, slash)) && isToken(text.slice(slash + 1));
}

/** Whether every byte may stand in a request target. */
export function isTargetText(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (TARGET[text.charCodeAt(at)] !== 1) return false;
  }
  return text.length > 0;
}

/**
 * Reads `Content-Length = 1*DIGIT` (RFC 9110 §8.6). Undefined for anything else, and for what a double cannot hold
 * exactly: a length that two hops round differently is a smuggled request.
 */
export function parseContentLength(text: string): number | undefined {
  const digits = text.length;
  if (digits === 0 || digits > 16) return undefined;
  let value = 0;
  for (let at = 0; at < digits; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return undefined;
    value = value * 10 + digit;
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}

/**
 * Splits a comma-separated list into lower-cased members (RFC 9110 §5.6.1). Empty members are skipped, as a recipient
 * must. The members are not checked.
 */
export function listMembers(text: string): string[] {
  const members: string[] = [];
  for (const part of text.toLowerCase().split(",")) {
    const member = trimWhitespace(part);
    if (member !== "") members.push(member);
  }
  return members;
}

/** Removes optional white space, which is SP and HTAB and nothing that `String.trim` adds (RFC 9110 §5.6.3). */
function trimWhitespace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhitespace(text.charCodeAt(start))) start++;
  while (end > start && isWhitespace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** SP or HTAB. */
export function isWhitespace(code: number): boolean {
  return code === SPACE || code === TAB;
}

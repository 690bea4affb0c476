/** CONTINUATION: the rest of a field block that did not fit its HEADERS frame (RFC 9113 §6.10). */

export const CONTINUATION = 0x9;

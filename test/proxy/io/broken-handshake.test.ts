/** What is said of handshakes that came to nothing; that the runtime names them so, `test/ca/bad-certificates.test.ts` shows. */

import { expect, test } from "bun:test";
import { brokenByClient, brokenByServer } from "../../../src/proxy/io/broken-handshake.ts";

const PREFIX = "error:10000412:SSL routines:OPENSSL_internal:";

test.each([
  ["G".charCodeAt(0), `${PREFIX}HTTP_REQUEST`, /speaks plaintext/],
  [
    0x16,
    `${PREFIX}SSLV3_ALERT_BAD_CERTIFICATE`,
    /the client broke the TLS handshake off: bad certificate \(TLS alert\)$/,
  ],
  [0x16, `${PREFIX}TLSV1_ALERT_UNKNOWN_CA`, /: unknown ca \(TLS alert\)$/],
  [0x16, `${PREFIX}UNSUPPORTED_PROTOCOL`, /older than 1\.3/],
  [0x16, `${PREFIX}BAD_DECRYPT`, /^the TLS handshake failed: bad decrypt$/],
  [0x16, "Client network socket disconnected", /gave up, or took too long/],
  [0x16, undefined, /gave up, or took too long/],
])("first byte %p, %p", (firstByte, message, words) => {
  const error = message === undefined ? undefined : new Error(message);
  expect(brokenByClient(firstByte, error)).toEqual({
    reason: "handshake_failed",
    message: expect.stringMatching(words),
  });
});

test.each([
  [`${PREFIX}WRONG_VERSION_NUMBER`, /speaks no TLS/],
  [`${PREFIX}TLSV1_ALERT_PROTOCOL_VERSION`, /^the server broke the TLS handshake off: protocol version \(TLS alert\)$/],
  ["", /the server did not go through/],
])("of a server: %p", (message, words) => {
  expect(brokenByServer(new Error(message)).message).toMatch(words);
});

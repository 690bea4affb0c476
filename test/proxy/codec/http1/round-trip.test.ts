/** What one side writes, the other reads: whatever the message, and however its bytes are cut. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { HeaderList, RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { seededRandom } from "../../../support/random.ts";
import {
  bytes,
  clientUnderTest,
  feed,
  RecordedMessage,
  requestHead,
  responseHead,
  serverUnderTest,
} from "./recorder.ts";

const FRAMING =
  /^(?:host|te|expect|trailer|connection|keep-alive|proxy-connection|content-length|transfer-encoding|upgrade)$/;

const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9a-z-]{1,20}$/).filter((text) => !FRAMING.test(text));
const value = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,30}[!-~\x80-\xff])?)?$/);
const headers: fc.Arbitrary<HeaderList> = fc
  .array(fc.tuple(name, value), { maxLength: 12 })
  .map((fields) => fields.flat());
const pieces = fc.array(fc.stringMatching(/^[\x00-\xff]{0,300}$/), { maxLength: 6 });
const trailers: fc.Arbitrary<HeaderList> = fc
  .array(fc.tuple(fc.stringMatching(/^x-t[a-z]{0,8}$/), value), { maxLength: 4 })
  .map((fields) => fields.flat());
const message = fc.record({ headers, pieces, trailers, announced: fc.boolean(), seed: fc.nat() });
type Message = typeof message extends fc.Arbitrary<infer M> ? M : never;

interface Sender<H> {
  sendHead(head: H, end: boolean): void;
  sendData(chunk: Uint8Array, end: boolean): boolean;
  sendTrailers(trailers: HeaderList): void;
}

function send<H>(stream: Sender<H>, head: H, { pieces, trailers, announced }: Message): void {
  const last = pieces.length - 1;
  const withTrailers = !announced && trailers.length > 0;
  stream.sendHead(head, last < 0 && !withTrailers);
  for (const [at, piece] of pieces.entries()) stream.sendData(bytes(piece), at === last && !withTrailers);
  if (withTrailers) stream.sendTrailers(trailers);
}

/** The length as it is announced: known, or known to be nothing, or not known before the end. */
function lengthOf({ pieces, trailers, announced }: Message): number | undefined {
  const length = pieces.join("").length;
  return announced || (pieces.length === 0 && trailers.length === 0) ? length : undefined;
}

function withLength(headers: HeaderList, length: number | undefined): HeaderList {
  return length === undefined ? headers : [...headers, "content-length", String(length)];
}

test("requests", () => {
  fc.assert(
    fc.property(message, fc.webPath(), (content, path) => {
      const client = clientUnderTest();
      const length = lengthOf(content);
      const head = requestHead("PUT", path === "" ? "/" : path, { headers: content.headers, contentLength: length });
      send<RequestHead>(client.connection.open(new RecordedMessage<ResponseHead>()), head, content);

      const server = serverUnderTest();
      const random = seededRandom(content.seed);
      feed(server.connection, client.output.text, () => 1 + Math.floor(random() * 50));
      const [request] = server.requests;
      expect(server.requests).toHaveLength(1);
      expect(request?.head).toEqual({ ...head, headers: withLength(content.headers, length) });
      expect(request?.body).toBe(content.pieces.join(""));
      expect(request?.trailers ?? []).toEqual(content.announced ? [] : content.trailers);
      expect(request?.ended).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("responses", () => {
  fc.assert(
    fc.property(message, fc.constantFrom(200, 201, 404, 500, 503), (content, status) => {
      const client = clientUnderTest();
      const response = new RecordedMessage<ResponseHead>();
      client.connection.open(response).sendHead(requestHead("GET", "/"), true);
      const server = serverUnderTest();
      feed(server.connection, client.output.text);
      const stream = server.requests[0]?.stream;
      if (stream === undefined) throw new Error("no request arrived");
      const length = lengthOf(content);
      send<ResponseHead>(stream, responseHead(status, content.headers, length), content);

      const random = seededRandom(content.seed);
      feed(client.connection, server.output.text, () => 1 + Math.floor(random() * 50));
      expect(response.head).toEqual(responseHead(status, withLength(content.headers, length), length));
      expect(response.body).toBe(content.pieces.join(""));
      expect(response.trailers ?? []).toEqual(content.announced ? [] : content.trailers);
      expect(response.ended).toBe(true);
      expect(client.connection.capacity).toBe(1);
    }),
    { numRuns: 300 },
  );
});

/** The least that a listener can do with requests: answer each with its path and who asked, once it has all of it. */

import type { RequestHead, ServerStream, StreamListener } from "../../src/proxy/codec/message.ts";
import type { AcceptRequest } from "../../src/proxy/io/downstream.ts";

export interface Answering {
  readonly accept: AcceptRequest;
  /** Details of the faults that streams and connections ended with. */
  readonly faults: string[];
  /** Requests for `/held…` wait for this. */
  release(): void;
}

export function answering(): Answering {
  const faults: string[] = [];
  const held: (() => void)[] = [];
  const accept: AcceptRequest = ({ facts }) => ({
    accept: (stream) => listenerOf(stream, facts.principal ?? "nobody", held, faults),
    unreadable: (fault) => void faults.push(fault.detail),
  });
  return {
    accept,
    faults,
    release: () => {
      for (const answer of held.splice(0)) answer();
    },
  };
}

function listenerOf(
  stream: ServerStream,
  principal: string,
  held: (() => void)[],
  faults: string[],
): StreamListener<RequestHead> {
  let path = "";
  const answer = (): void => {
    const body = Buffer.from(`${path} ${principal}`);
    stream.sendHead({ status: 200, headers: [], contentLength: body.length, version: "1.1" }, false);
    stream.sendData(body, true);
  };
  const ended = (): void => void (path.startsWith("/held") ? held.push(answer) : answer());
  return {
    onHead(head, end) {
      path = head.path;
      if (end) ended();
    },
    onInformational() {},
    onData: (_chunk, end) => void (end && ended()),
    onTrailers: ended,
    onDrain() {},
    onFault: (fault) => void faults.push(fault.detail),
  };
}

/**
 * How far one side of a stream has come (RFC 9113 §5.1, §8.1). The RFC's states follow from the two sides: "open" is
 * neither `Ended`, "half-closed" one of them, "closed" both. The same table holds for what we receive and what we send.
 */

export const MessageState = { Head: 0, Body: 1, Ended: 2 } as const;
export type MessageState = (typeof MessageState)[keyof typeof MessageState];

export const MessageEvent = { Informational: 0, Head: 1, HeadAndEnd: 2, Data: 3, DataAndEnd: 4, Trailers: 5 } as const;
export type MessageEvent = (typeof MessageEvent)[keyof typeof MessageEvent];

const { Head, Body, Ended } = MessageState;

/** What is not listed must not happen. */
const TRANSITIONS: Readonly<Record<MessageState, readonly (MessageState | undefined)[]>> = {
  //     Informational, Head, HeadAndEnd, Data, DataAndEnd, Trailers
  [Head]: [Head, Body, Ended, undefined, undefined, undefined],
  [Body]: [undefined, undefined, undefined, Body, Ended, Ended],
  [Ended]: [],
};

/** The state after `event`, or undefined when it must not happen in this state. */
export function nextMessageState(state: MessageState, event: MessageEvent): MessageState | undefined {
  return TRANSITIONS[state][event];
}

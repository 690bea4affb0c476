/** What the next bytes of the peer are. */
export type ServerPhase =
  /** A request head, or nothing for now. */
  | "head"
  /** The body of the request in hand. */
  | "body"
  /** The request is over and asked for another protocol: they wait until the response decides. */
  | "switch"
  /** The request is over, its response is not: they are a pipelined request, and wait. */
  | "response"
  /** Bytes of another protocol. */
  | "tunnel"
  /** The response was over before the request: the rest of its body, of no use to anyone. */
  | "discard"
  /** We have said our last; nothing that follows is looked at. */
  | "closing"
  | "closed";

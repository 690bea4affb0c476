/** The shutdown of a connection, in order. */
export const Phase = {
  Open: 0,
  /** GOAWAY with the highest identifier is out: the client should stop, what is on its way is still served. */
  Draining: 1,
  /** No new streams; ends with the last one. */
  Finishing: 2,
  Ended: 3,
} as const;

export type Phase = (typeof Phase)[keyof typeof Phase];

/** Something to take tokens from. */
export interface Bucket {
  /** Whether there is a token now: undefined, or how long until there is. Milliseconds. */
  waitMs(nowMs: number): number | undefined;
  /** Only after `waitMs` returned undefined. */
  take(nowMs: number): void;
  /** Nobody took anything for so long that a new one would be the same. */
  isFull(nowMs: number): boolean;
}

/**
 * What happens once per turn of the event loop. Writes are gathered: a turn that answers forty streams of one
 * connection ends in one `write`, and so in one TLS record and one system call. Clocks are read once: a request asks
 * for the time some fifteen times on its way through a sidecar, and a system call for each would cost more than what is
 * done with the answer.
 */

export interface TurnTask {
  /** Runs after the I/O callbacks of this turn. Must not throw. */
  endOfTurn(): void;
}

let queued: TurnTask[] = [];
let running: TurnTask[] = [];
/** Turns that have ended, of those that anybody asked about. */
let turns = 0;
let endAwaited = false;

/** Queues a task; whoever calls makes sure that it is queued once at a time. */
export function atEndOfTurn(task: TurnTask): void {
  queued.push(task);
  awaitEnd();
}

/**
 * A clock that stands still within a turn, as libuv's and nginx's do: what a turn does, it does at the time of its
 * first look. Wrong by the length of a turn at most, since with its end awaited the event loop does not wait for
 * anything else.
 */
export function turnClock(read: () => number): () => number {
  let now = read();
  let readIn = -1;
  return () => {
    if (readIn !== turns) {
      now = read();
      readIn = turns;
      awaitEnd();
    }
    return now;
  };
}

function awaitEnd(): void {
  if (endAwaited) return;
  endAwaited = true;
  setImmediate(endTurn);
}

function endTurn(): void {
  const tasks = queued;
  queued = running;
  running = tasks;
  for (let index = 0; index < tasks.length; index++) tasks[index]?.endOfTurn();
  tasks.length = 0;
  turns++;
  endAwaited = false;
  // What the tasks put off is for the next one.
  if (queued.length > 0) awaitEnd();
}

/**
 * Work put off to the end of the event-loop turn, once per object and turn. Writes are gathered this way: a turn that
 * answers forty streams of one connection ends in one `write`, and so in one TLS record and one system call.
 */

export interface TurnTask {
  /** Runs after the I/O callbacks of this turn. Must not throw. */
  endOfTurn(): void;
}

let queued: TurnTask[] = [];
let running: TurnTask[] = [];

/** Queues a task; whoever calls makes sure that it is queued once at a time. */
export function atEndOfTurn(task: TurnTask): void {
  if (queued.push(task) === 1) setImmediate(runQueued);
}

function runQueued(): void {
  const tasks = queued;
  queued = running;
  running = tasks;
  for (let index = 0; index < tasks.length; index++) tasks[index]?.endOfTurn();
  tasks.length = 0;
}

/** What keeps a child running, with children that are made up. */

import { expect, test } from "bun:test";
import { Supervisor } from "../../src/cli/processes/supervisor.ts";
import { pause } from "../../src/projections/backoff.ts";
import { eventually } from "../support/mesh.ts";

class Child {
  readonly #ended = Promise.withResolvers<string>();
  readonly exited = this.#ended.promise;
  isStopped = false;
  beforeEnd = (): Promise<void> => Promise.resolve();

  constructor(readonly pid: number) {}

  end(how: string): void {
    this.#ended.resolve(how);
  }

  async stop(): Promise<void> {
    await this.beforeEnd();
    this.isStopped = true;
    this.end("exit code 0");
  }
}

function launchInto(children: Child[]): () => Promise<Child> {
  return async () => {
    const child = new Child(children.length);
    children.push(child);
    return child;
  };
}

/** A first restart comes within 100 ms; a stop that is held up for this long would see it. */
const RESTARTED_WITHIN_MS = 400;

const options = { name: "it", note: () => {}, random: () => 0 };

test("starts a child again that has ended", async () => {
  const children: Child[] = [];
  const supervisor = await Supervisor.start({ ...options, launch: launchInto(children) });
  children[0]?.end("signal SIGKILL");
  await eventually(() => expect(children.length).toBe(2));
  await supervisor.stop();
  expect(children.map(({ isStopped }) => isStopped)).toEqual([false, true]);
});

test("starts nobody again whose turn to be stopped is yet to come", async () => {
  const [early, late]: [Child[], Child[]] = [[], []];
  const supervisors = [
    await Supervisor.start({ ...options, launch: launchInto(early) }),
    await Supervisor.start({ ...options, launch: launchInto(late) }),
  ];
  const isHeldUp = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const [first] = early;
  if (first === undefined) throw new Error("nothing was launched");
  first.beforeEnd = () => {
    isHeldUp.resolve();
    return goOn.promise;
  };
  const stopped = Supervisor.stopInTurn(supervisors);
  await isHeldUp.promise;
  late[0]?.end("signal SIGTERM");
  // Were it to be started again, that would be after this.
  await pause(RESTARTED_WITHIN_MS, new AbortController().signal);
  goOn.resolve();
  await stopped;
  expect([early.length, late.length]).toEqual([1, 1]);
});

test("stops a child that is being launched when it is told to stop", async () => {
  const first = new Child(1);
  const second = new Child(2);
  const launching = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<Child>();
  let launches = 0;
  const launch = (): Promise<Child> => {
    if (++launches === 1) return Promise.resolve(first);
    launching.resolve();
    return gate.promise;
  };
  const supervisor = await Supervisor.start({ ...options, launch });
  first.end("signal SIGKILL");
  await launching.promise;
  const stopped = supervisor.stop();
  gate.resolve(second);
  await stopped;
  expect(second.isStopped).toBe(true);
});

/** Which root signs, when the keys of the one that is to are not at hand. */

import { expect, test } from "bun:test";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AuthorityKeeper } from "../../src/ca/authority-keeper.ts";
import { FileCustody } from "../../src/ca/file-custody.ts";
import { temporaryDirectory } from "./temporary.ts";

test("a root whose keys are elsewhere: nothing is signed until they come, and never again by the former one", async () => {
  await using directory = await temporaryDirectory();
  const [here, there] = [join(directory.path, "here"), join(directory.path, "there")];
  const options = (path: string) => ({ custody: new FileCustody(path), trustDomain: "mesh.local", now: Date.now });
  const keeper = await AuthorityKeeper.open(options(here), undefined);
  const former = keeper.current.rootFingerprint;
  await mkdir(there, { mode: 0o700 });
  await cp(here, there, { recursive: true });
  const other = await AuthorityKeeper.open(options(there), former);
  const next = (await other.prepareNext(new Set([former]))).rootFingerprint;

  const said: boolean[] = [];
  keeper.onAvailability((available) => said.push(available));
  const missing = "which signs for the mesh, are not here";
  await expect(keeper.use(next)).rejects.toThrow(missing);
  // As happens now and then, to have issuing certificates renewed in time.
  await expect(keeper.renew()).rejects.toThrow(missing);
  expect(() => keeper.issuer).toThrow(missing);
  expect(keeper.fault).toContain(missing);
  expect(said).toEqual([false]);

  await cp(there, here, { recursive: true });
  await keeper.renew();
  expect(keeper.current.rootFingerprint).toBe(next);
  expect(keeper.issuer.notAfterMs).toBeGreaterThan(Date.now());
  expect(said).toEqual([false, true]);
});

/** Fills its standard output far beyond what a pipe holds, and says whether its event loop still turns. */

import { openAccessLog } from "../../src/telemetry/access-log.ts";
import { record } from "./record.ts";

const shared = process.argv[2] === "shared";
const log = await openAccessLog("stdout", { waitingCharactersMax: 64 * 1024 * 1024, shared });
for (let n = 0; n < 2000; n++) log?.log(record({ path: `/${"x".repeat(500)}` }));
await Bun.sleep(50);
process.stderr.write("still turning\n");
await log?.close();

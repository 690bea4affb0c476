import { MemoryLog } from "../../src/events/memory-log.ts";
import { eventLogContract } from "../contracts/event-log.ts";

eventLogContract("MemoryLog", async () => {
  const log = new MemoryLog();
  return {
    log,
    appendBytes: async (namespace, bytes) => log.appendBytes(namespace, bytes),
    dispose: async () => {},
  };
});

/** What the server lets each kind of user do: everything in the table works, and what is not in it is refused. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "nats";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import { directReader, openBucket } from "../../src/nats/buckets.ts";
import { PermissionDenied } from "../../src/nats/bus.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { type Credentials, mintControlUser } from "../../src/nats/credentials.ts";
import { inboxPrefix } from "../../src/nats/permissions.ts";
import { getMessage, lastSequence } from "../../src/nats/stream-client.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET, EVENT_STREAM, subjects, TRAFFIC_STREAM } from "../../src/nats/subjects.ts";
import { ensureTrafficStream } from "../../src/nats/traffic-stream.ts";
import { createTrust } from "../../src/nats/trust.ts";
import { mustAppend, sampleChange } from "../contracts/event-log.ts";
import { startTestNats, type TestBus, type TestNats } from "../support/nats.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array | undefined): string => new TextDecoder().decode(data);
const timeoutMs = 5_000;

let nats: TestNats;
let control: TestBus;
/** Another service's credentials, whose subjects are the tempting ones. */
let payment: Credentials;

beforeAll(async () => {
  nats = await startTestNats();
  control = await nats.connectControl();
  await mustAppend(await openEventLog(control.bus), sampleChange("shop", "web"), 0);
  const config = await openBucket(control.bus, CONFIG_BUCKET);
  await config.put("shop.web", bytes("snapshot of web"));
  await config.put("shop.payment", bytes("snapshot of payment"));
  await (await openBucket(control.bus, ENDPOINT_BUCKET)).put("shop.payment", bytes("endpoints of payment"));
  payment = await nats.mintService("shop", "payment");
  control.bus.subscribe(subjects.allSign, (message) => message.respond(bytes(`signed for ${message.subject}`)));
  control.bus.subscribe(subjects.allCommands, (message) => message.respond(bytes("decided")));
  control.bus.subscribe(subjects.allQueries, (message) => message.respond(bytes("answered")));
  await control.bus.flush();
});
afterAll(() => nats.stop());

/** What of a list of subjects the server refuses to this user. */
async function refusedTo(user: TestBus, operation: "publish" | "subscribe", list: string[]): Promise<string[]> {
  const refused = (): (string | undefined)[] => user.errors.map((error) => error.message.split(" ").at(-1));
  user.errors.length = 0;
  // Refused for certain: refusals come in order, so that with this one all have come.
  const last = "the.last.of.the.list";
  for (const subject of [...list, last]) {
    if (operation === "publish") user.bus.publish(subject, bytes("x"));
    else user.bus.subscribe(subject, () => {});
  }
  while (!refused().includes(last)) await Bun.sleep(1);
  const known = new Set(refused());
  return list.filter((subject) => known.has(subject));
}

/** What nobody but control may publish. */
const controlOnly = [
  subjects.events("shop"),
  subjects.recorded("shop"),
  subjects.config("shop", "web"),
  subjects.endpoints("shop", "web"),
  `$KV.${CONFIG_BUCKET}.shop.web`,
  `$KV.${ENDPOINT_BUCKET}.shop.web`,
  "$JS.API.INFO",
  `$JS.API.STREAM.CREATE.${EVENT_STREAM}`,
  `$JS.API.STREAM.UPDATE.${EVENT_STREAM}`,
  `$JS.API.STREAM.DELETE.${EVENT_STREAM}`,
  `$JS.API.STREAM.PURGE.${EVENT_STREAM}`,
  `$JS.API.STREAM.MSG.DELETE.${EVENT_STREAM}`,
  `$JS.API.STREAM.INFO.KV_${CONFIG_BUCKET}`,
  `$JS.API.CONSUMER.CREATE.${EVENT_STREAM}`,
  `$JS.API.CONSUMER.CREATE.KV_${CONFIG_BUCKET}`,
  "_R_.anything",
  "_INBOX.anything",
  "anything",
];

describe("a service's user", () => {
  let web: TestBus;
  let credentials: Credentials;
  beforeAll(async () => {
    credentials = await nats.mintService("shop", "web");
    web = await nats.connect(credentials);
  });

  test("reads its own snapshot and everybody's endpoints, and hears of changes to both", async () => {
    expect(text((await directReader(web.bus, CONFIG_BUCKET).get("shop.web"))?.value)).toBe("snapshot of web");
    expect(text((await directReader(web.bus, ENDPOINT_BUCKET).get("shop.payment"))?.value)).toBe(
      "endpoints of payment",
    );
    const heard = Promise.withResolvers<string>();
    const endpoints = Promise.withResolvers<string>();
    web.bus.subscribe(subjects.config("shop", "web"), ({ data }) => heard.resolve(text(data)));
    web.bus.subscribe(subjects.endpoints("*", "*"), ({ data }) => endpoints.resolve(text(data)));
    await web.bus.flush();
    control.bus.publish(subjects.config("shop", "web"), bytes("newer"));
    control.bus.publish(subjects.endpoints("shop", "payment"), bytes("more"));
    expect(await heard.promise).toBe("newer");
    expect(await endpoints.promise).toBe("more");
  });

  test("reports its status and its calls, and has its certificate signed under its own name", async () => {
    const status = Promise.withResolvers<string>();
    const subscription = control.bus.subscribe(subjects.allStatus, ({ subject }) => status.resolve(subject));
    await control.bus.flush();
    web.bus.publish(subjects.status("shop", "web", "web-1"), bytes("{}"));
    expect(await status.promise).toBe("heddle.status.shop.web.web-1");
    subscription.stop();
    await ensureTrafficStream(control.bus);
    const stored = await web.bus.request(subjects.traffic("shop", "web", "web-1"), bytes("{}"), { timeoutMs });
    expect(JSON.parse(text(stored))).toMatchObject({ stream: TRAFFIC_STREAM, seq: 1 });
    const sign = subjects.sign("shop", "web", credentials.publicKey);
    const signed = await web.bus.request(sign, bytes("csr"), { timeoutMs });
    expect(text(signed)).toBe(`signed for ${sign}`);
  });

  test("publishes nothing else", async () => {
    const list = [
      ...controlOnly,
      subjects.status("shop", "payment", "x"),
      subjects.traffic("shop", "payment", "x"),
      subjects.sign("shop", "payment", credentials.publicKey),
      subjects.sign("shop", "web", payment.publicKey),
      subjects.command(credentials.publicKey, "shop"),
      subjects.query(credentials.publicKey, "status"),
      `$JS.API.DIRECT.GET.${EVENT_STREAM}`,
      `$JS.API.DIRECT.GET.KV_${CONFIG_BUCKET}`,
      `$JS.API.DIRECT.GET.KV_${CONFIG_BUCKET}.$KV.${CONFIG_BUCKET}.shop.payment`,
    ];
    expect(await refusedTo(web, "publish", list)).toEqual(list);
  });

  test("subscribes to nothing else", async () => {
    const list = [
      ">",
      "heddle.>",
      subjects.config("shop", "payment"),
      subjects.config("*", "*"),
      subjects.allStatus,
      subjects.allSign,
      subjects.allCommands,
      subjects.allRecorded,
      subjects.allEvents,
      `$KV.${CONFIG_BUCKET}.>`,
      "_INBOX.>",
      `${inboxPrefix(payment.publicKey)}.>`,
      "_R_.>",
    ];
    expect(await refusedTo(web, "subscribe", list)).toEqual(list);
  });

  test("is told so when it asks for another service's snapshot", async () => {
    await expect(directReader(web.bus, CONFIG_BUCKET).get("shop.payment")).rejects.toBeInstanceOf(PermissionDenied);
  });

  test("cannot have an answer delivered to the ledger or to a control replica", async () => {
    const before = await lastSequence(control.bus, EVENT_STREAM);
    const strays: string[] = [];
    const watches = [subjects.config("*", "*"), subjects.allEvents, subjects.allCommands].map((subject) =>
      control.bus.subscribe(subject, (message) => strays.push(message.subject)),
    );
    await control.bus.flush();
    const sign = subjects.sign("shop", "web", credentials.publicKey);
    const get = `$JS.API.DIRECT.GET.KV_${CONFIG_BUCKET}.$KV.${CONFIG_BUCKET}.shop.web`;
    for (const reply of [
      subjects.events("shop"),
      subjects.config("shop", "payment"),
      "$KV.heddle-config.shop.payment",
    ]) {
      web.bus.client.publish(get, bytes(""), { reply });
      web.bus.client.publish(sign, bytes("csr"), { reply });
    }
    // Answers come in order, so that the last one has been through when this one has.
    await web.bus.request(sign, bytes("csr"), { timeoutMs });
    await control.bus.flush();
    expect(strays).toEqual([]);
    expect(await lastSequence(control.bus, EVENT_STREAM)).toBe(before);
    for (const watch of watches) watch.stop();
  });
});

describe("an operator's user", () => {
  const commands = (key: string) => ["shop", "bank", "_mesh"].map((namespace) => subjects.command(key, namespace));

  async function operator(role: "admin" | "editor" | "viewer"): Promise<TestBus & { key: string }> {
    const credentials = await nats.mintOperator({ name: role, role, namespaces: ["shop"] });
    return { ...(await nats.connect(credentials)), key: credentials.publicKey };
  }

  test("commands every namespace as admin, its own as editor, none as viewer", async () => {
    for (const [role, allowed] of [
      ["admin", 3],
      ["editor", 1],
      ["viewer", 0],
    ] as const) {
      const user = await operator(role);
      const subjectsOfRole = commands(user.key);
      expect(await refusedTo(user, "publish", subjectsOfRole)).toEqual(subjectsOfRole.slice(allowed));
      const answers = subjectsOfRole
        .slice(0, allowed)
        .map((each) => user.bus.request(each, bytes("{}"), { timeoutMs }));
      expect((await Promise.all(answers)).map(text)).toEqual(Array<string>(allowed).fill("decided"));
    }
  });

  test("asks and reads the ledger in every role", async () => {
    for (const role of ["admin", "editor", "viewer"] as const) {
      const { bus, key, errors } = await operator(role);
      expect(text(await bus.request(subjects.query(key, "status"), bytes(""), { timeoutMs }))).toBe("answered");
      expect((await getMessage(bus, EVENT_STREAM, { seq: 1 }))?.subject).toBe("heddle.events.shop");
      expect(text((await directReader(bus, CONFIG_BUCKET).get("shop.web"))?.value)).toBe("snapshot of web");
      expect(errors).toEqual([]);
    }
  });

  test("publishes nothing else, not as admin either", async () => {
    const admin = await operator("admin");
    const list = [
      ...controlOnly,
      subjects.command(payment.publicKey, "shop"),
      subjects.query(payment.publicKey, "status"),
      subjects.status("shop", "web", "x"),
      subjects.sign("shop", "web", admin.key),
    ];
    expect(await refusedTo(admin, "publish", list)).toEqual(list);
  });

  test("subscribes to hints of the ledger and its own inbox only", async () => {
    const admin = await operator("admin");
    const list = [">", "heddle.>", subjects.allCommands, subjects.allStatus, subjects.allEvents, "_INBOX.>"];
    expect(await refusedTo(admin, "subscribe", [...list, subjects.allRecorded])).toEqual(list);
  });
});

describe("whoever has no credentials of this mesh", () => {
  test("is refused without any", async () => {
    await expect(connect({ servers: nats.url, reconnect: false })).rejects.toMatchObject({
      code: "AUTHORIZATION_VIOLATION",
    });
  });

  test("is refused with another mesh's, even those of its control", async () => {
    const credentials = await mintControlUser(await createTrust());
    const connecting = connectBus({ url: nats.url, credentials, name: "stranger", onError: () => {} });
    await expect(connecting).rejects.toBeInstanceOf(PermissionDenied);
  });

  test("is refused with a JWT whose key it lacks", async () => {
    const stolen = { ...(await nats.directory.controlCredentials()), seed: payment.seed };
    const connecting = connectBus({ url: nats.url, credentials: stolen, name: "thief", onError: () => {} });
    await expect(connecting).rejects.toBeInstanceOf(PermissionDenied);
  });
});

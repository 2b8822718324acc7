// What a caller writes in the wrong way is refused, with the right way, before anything is sent.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { NewMessage, Retry, settlement, Tidegate, Webhook, Worker, type ClaimedMessage } from "tidegate";

import { afresh, SECRET, world, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

/** As JavaScript calls it, where no type says what is known. */
type Loose = any;

const claimed = { id: "work_1", token: "t" } as ClaimedMessage;
const worker = (options: unknown) => new Worker(it.shaky, "work", () => null, options as Loose);

const UNKNOWN: Record<string, (client: Loose) => unknown> = {
  '"due_at": did you mean "dueAt"?': (client) => client.send("null", 1, { due_at: "2099-12-02T00:00:00Z" }),
  '"delya": did you mean "delay"?': (client) => client.send("null", 1, { delya: "1s" }),
  '"now": the fields are contentType, headers, delay': (client) => client.publish("order_paid", 1, { now: true }),
  '"idempotency_key": did you mean "idempotencyKey"?': (client) =>
    client.sendMany("null", [new NewMessage(1), new NewMessage(1, { idempotency_key: "a" } as Loose)]),
  '"max_attempts" of retry: did you mean "maxAttempts"?': (client) => client.send("null", 1, { retry: { max_attempts: 1 } }),
  '"uri" of callback: did you mean "url"?': (client) => client.send("null", 1, { callback: { uri: "http://127.0.0.1/" } }),
  '"sigal": did you mean "signal"?': (client) => client.cancel("null_1", { sigal: undefined }),
  '"singal": did you mean "signal"?': (client) => client.sendMany("null", [], { singal: undefined }),
  '"delay": the fields are signal': (client) => client.sendMessage("null", new NewMessage(1), { delay: "1h" }),
  '"wait": did you mean "waitMs"?': (client) => client.get("null_1", { wait: 5 }),
  '"timeout": did you mean "timeoutMs"?': (client) => client.waitUntilFinal("null_1", { timeout: 5 }),
  '"expiresAt": the fields are delay, dueAt': (client) => client.reschedule("null_1", { expiresAt: new Date() }),
  '"due": did you mean "dueAt"?': (client) => client.edit("null_1", { due: new Date() }),
  '"why": the fields are reason, signal': (client) => client.resolve("null_1", "dead", { why: "x" }),
  '"limit": the fields are state, label, .*pageSize': (client) => client.page("null", { limit: 2 }),
  '"cursor": the fields are state': (client) => client.messages("null", { cursor: "x" }).next(),
  '"stat": did you mean "state"?': (client) => client.messages("null", { stat: "dead" }).next(),
  '"fro": did you mean "for"?': (client) => client.pause("null", { fro: "1m" }),
  '"queue": did you mean "queues"?': (client) => client.events({ queue: ["null"] }),
  '"max_messages": the fields are max, waitMs, lease': (client) => client.claim("work", { max_messages: 2 }),
  '"body": the fields are json, query': (client) => client.request("POST", "/v1/x", { body: 1 }),
  '"details": did you mean "detail"?': () => settlement(claimed, "dead", { details: "x" } as Loose),
  '"timeout_s": did you mean "timeoutMs"?': () => new Tidegate({ timeout_s: 1 } as Loose),
  '"deadline_ms" of repeats: did you mean "deadlineMs"?': () => new Tidegate({ repeats: { deadline_ms: 1 } } as Loose),
  '"lease": did you mean "leaseMs"?': () => worker({ lease: "5s" }),
  '"concurency": did you mean "concurrency"?': () => worker({ concurency: 2 }),
  '"dealy": did you mean "delay"?': () => new Retry("busy", { dealy: "1s" } as Loose),
  '"tolerance": did you mean "toleranceS"?': () => new Webhook(SECRET, { tolerance: 5 } as Loose),
  '"now": did you mean "nowMs"?': () => new Webhook(SECRET).verify({}, "", { now: 5 } as Loose),
};

for (const [said, ask] of Object.entries(UNKNOWN)) {
  test(`unknown field ${said}`, async () => {
    const words = new RegExp(`^TypeError: unknown field ${said.replace("?", "\\?")}`);
    await assert.rejects(async () => ask(it.shaky), words);
    assert.deepEqual(it.between.requests, []);
  });
}

test("options that are none", async () => {
  const client = it.shaky as Loose;
  await assert.rejects(client.cancel("null_1", 5), /is 5; give an object with signal/);
  await assert.rejects(client.waitUntilFinal("null_1"), /is undefined; give an object with timeoutMs/);
  await assert.rejects(client.waitUntilFinal("null_1", {}), /^RangeError: timeoutMs is undefined; give a number/);
  await assert.rejects(client.claim("work", { waitMs: Number.NaN }), /^RangeError: waitMs is NaN; give a number/);
  await assert.rejects(client.send("null", 1, { retry: "5s" }), /retry is the text "5s"; give an object with maxAttempts/);
  await assert.rejects(client.request("GET", "/v1/queues", { json: {} }), /json cannot go with GET; give query/);
  assert.throws(() => new Tidegate("http://127.0.0.1:7411" as Loose), /give an object with url, token/);
  assert.throws(() => new Tidegate({ timeoutMs: "10s" } as Loose), /timeoutMs is the text "10s"; give a number/);
  assert.throws(() => new Tidegate({ repeats: { deadlineMs: Number.NaN } }), /deadlineMs is NaN/);
  assert.equal(new Tidegate({ repeats: { deadlineMs: undefined } } as Loose).settings.repeats.deadlineMs, 30_000);
  assert.deepEqual(it.between.requests, []);
});

test("what is no message", async () => {
  const payload = { a: 1 } as Loose;
  const words = (what: string) => new RegExp(`^TypeError: ${what} is an object; give new NewMessage\\(`);
  await assert.rejects(it.shaky.sendMany("null", [new NewMessage(1), payload]), words("messages\\[1\\]"));
  await assert.rejects(it.shaky.sendMessage("null", payload), words("the message"));
  assert.deepEqual(it.between.requests, []);
});

test("a secret that is missing", () => {
  for (const missing of [undefined, null, [SECRET, undefined]] as Loose[]) {
    assert.throws(() => new Webhook(missing), /the secret is (undefined|null); give the signing_secret.*environment variable/);
  }
});

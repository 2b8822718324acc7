// What a producer does: send, wait, list, change; on a real daemon.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";

import { InvalidRequest, NewMessage, NotFinal, NotFound, Tidegate, WrongState, type Message } from "tidegate";

import { afresh, world, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

const done = (message: { id: string }) => it.client.waitUntilFinal(message.id, { timeoutMs: 20_000 });

async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of list) found.push(each);
  return found;
}

test("send and wait", async () => {
  const sent = await it.client.send("sms", { to: "+4915112345678", text: "Grüße" });
  assert.equal(sent.queue, "sms");
  assert.ok(sent.idempotencyKey);
  const final = await done(sent);
  assert.deepEqual([final.state, final.attempts, final.isFinal], ["delivered", 1, true]);
  assert.equal(final.result?.statusCode, 200);
  assert.ok(final.createdAt instanceof Date);
  assert.equal((await it.downstream.only()).body.toString(), '{"to":"+4915112345678","text":"Grüße"}');
  assert.deepEqual((await it.client.attempts(sent.id)).map((each) => each.outcome), ["delivered"]);
});

test("every field of a message", async () => {
  const due = new Date(Date.now() + 7_200_000);
  const sent = await it.client.send("sms", "hello", {
    contentType: "text/plain",
    headers: { "X-Shop": "berlin" },
    dueAt: due,
    expiresAt: new Date(due.getTime() + 3_600_000),
    priority: 5,
    group: "customer-7",
    labels: { shop: "münchen", isFinal: "no" },
    idempotencyKey: `ключ-${randomUUID()}`,
    retry: { maxAttempts: 3, schedule: ["1500ms", "5s", 60] },
    timeout: "2s",
    cost: 2,
    timeZone: "Europe/Berlin",
    callback: { url: "http://127.0.0.1:1/hook", on: ["dead"] },
  });
  const shown = await it.client.get(sent.id, { view: "full" });
  assert.equal(shown.payload, "hello");
  assert.deepEqual(shown.headers, { "x-shop": "berlin" });
  assert.equal(shown.dueAt.getTime(), due.getTime());
  assert.deepEqual([shown.priority, shown.group, shown.cost], [5, "customer-7", 2]);
  assert.deepEqual(shown.labels, { shop: "münchen", isFinal: "no" });
  assert.deepEqual(shown.heldBy, ["due"]);
  assert.equal((shown.raw.retry as { max_attempts: number }).max_attempts, 3);
  assert.equal((await it.client.cancel(sent.id)).state, "cancelled");
  assert.equal((await it.client.cancel(sent.id)).state, "cancelled");
});

test("bytes and text", async () => {
  const image = Uint8Array.from({ length: 70_000 }, (_, at) => at % 256);
  const sent = await it.client.send("sms", image, { contentType: "image/png", delay: "1h" });
  assert.deepEqual((await it.client.get(sent.id, { view: "full" })).payload, image);
  await it.client.run(sent.id);
  assert.equal((await done(sent)).state, "delivered");
  assert.deepEqual(new Uint8Array((await it.downstream.only()).body), image);
  afresh(it);
  await done(await it.client.send("sms", "Zeile ✓", { contentType: "text/plain; charset=utf-8" }));
  assert.equal((await it.downstream.only()).body.toString(), "Zeile ✓");
  assert.equal((await done(await it.client.send("null", new ArrayBuffer(3)))).state, "delivered");
});

test("the same key takes one message", async () => {
  const message = new NewMessage({ order: 1 });
  const first = await it.client.sendMessage("null", message);
  const again = await it.client.sendMessage("null", message);
  assert.deepEqual([again.id, again.duplicate], [first.id, true]);
  assert.notEqual((await it.client.send("null", { order: 1 })).id, first.id);
  const found = await all(it.client.messages("null", { idempotencyKey: message.idempotencyKey ?? "" }));
  assert.deepEqual(found.map((each) => each.id), [first.id]);
});

test("changes", async () => {
  const sent = await it.client.send("sms", { n: 1 }, { delay: "2h" });
  const later = await it.client.reschedule(sent.id, { delay: 3 * 3600 });
  assert.ok(later.dueAt > sent.dueAt);
  const edited = await it.client.edit(sent.id, { priority: 9, expiresAt: new Date(later.dueAt.getTime() + 1000) });
  assert.equal(edited.priority, 9);
  await it.client.editPayload(sent.id, { n: 2 });
  assert.deepEqual((await it.client.get(sent.id, { view: "full" })).payload, { n: 2 });
  await it.client.cancel(sent.id);
  await assert.rejects(it.client.run(sent.id), (error) => error instanceof WrongState && error.state === "cancelled");
  await it.client.requeue(sent.id);
  assert.equal((await done(sent)).state, "delivered");
});

test("a dead message", async () => {
  it.downstream.status = 422;
  const dead = await done(await it.client.send("sms", { to: "nobody" }));
  assert.deepEqual([dead.state, dead.lastAttempt?.statusCode], ["dead", 422]);
  await assert.rejects(it.client.resolve(dead.id, "delivered", { reason: "found in their log" }), WrongState);
  it.downstream.status = 200;
  await it.client.requeue(dead.id);
  assert.equal((await done(dead)).state, "delivered");
});

test("a wait that is too short", async () => {
  const sent = await it.client.send("null", 1, { delay: "1h" });
  await assert.rejects(it.client.waitUntilFinal(sent.id, { timeoutMs: 300 }), (error) => {
    return error instanceof NotFinal && error.shown.state === "scheduled" && /held by due/.test(error.message);
  });
});

test("many messages, and each is judged", async () => {
  const run = randomUUID();
  const messages = Array.from({ length: 2_500 }, (_, n) => new NewMessage({ n }, { labels: { run }, delay: "1h" }));
  messages.splice(3, 0, new NewMessage({ n: -1 }, { priority: 77 }));
  const sent = await it.client.sendMany("null", messages);
  assert.deepEqual(sent.results.map((each) => each.index), [...messages.keys()]);
  assert.deepEqual(sent.rejected.map((each) => each.index), [3]);
  const fault = sent.rejected[0]?.problem;
  assert.ok(fault instanceof InvalidRequest);
  assert.equal(fault.pointer, "/priority");
  async function* again() {
    yield* messages;
  }
  const second = await it.client.sendMany("null", again());
  assert.ok(second.accepted.every((each) => each.duplicate));
  assert.deepEqual(second.accepted.map((each) => each.id), sent.accepted.map((each) => each.id));
  const which = { label: { run }, state: ["scheduled", "ready"] as const };
  const listed = await all(it.client.messages("null", { ...which, pageSize: 1_000 }));
  assert.deepEqual(new Set(listed.map((each: Message) => each.id)), new Set(sent.accepted.map((each) => each.id)));
  const page = await it.client.page("null", { state: "scheduled", pageSize: 10 });
  assert.equal(page.messages.length, 10);
  assert.ok(page.nextCursor);
  assert.deepEqual((await it.client.sendMany("null", [])).results, []);
});

test("publish", async () => {
  const event = await it.client.publish("order_paid", { order: 42 }, { group: "customer-7" });
  assert.deepEqual(new Set(event.messages.map((each) => each.queue)), new Set(["null", "other"]));
  await assert.rejects(it.client.publish("nothing", 1), NotFound);
});

test("queues", async () => {
  assert.ok((await it.client.queues()).some((each) => each.name === "other"));
  const paused = await it.client.pause("other", { for: "5m", reason: "stocktaking" });
  assert.equal(paused.sending.state, "paused");
  assert.equal(paused.paused?.reason, "stocktaking");
  const held = await it.client.send("other", 1);
  assert.deepEqual((await it.client.get(held.id)).heldBy, ["pause"]);
  assert.ok((await it.client.resume("other")).resumed);
  assert.equal((await done(held)).state, "delivered");
  assert.ok((await it.client.queue("other")).counts.delivered >= 1);
});

test("other routes", async () => {
  const doctor = (await it.client.request("GET", "/v1/doctor")) as { findings: unknown[] };
  assert.ok(Array.isArray(doctor.findings));
  await it.client.request("GET", "/v1/actions", { query: { limit: "3" } });
  await assert.rejects(it.client.request("POST", "/v1/x", { idempotencyKey: "a\r\nX-Evil: 1" }), /header/);
});

test("settings come from the environment", async () => {
  process.env.TIDEGATE_URL = `${it.daemon.url}/`;
  try {
    assert.equal((await new Tidegate().queue("null")).name, "null");
    process.env.TIDEGATE_TOKEN = "abc\n";
    assert.throws(() => new Tidegate(), /\.trim/);
  } finally {
    delete process.env.TIDEGATE_URL;
    delete process.env.TIDEGATE_TOKEN;
  }
  assert.throws(() => new Tidegate({ url: "localhost:7411" }), /http:\/\/127/);
});

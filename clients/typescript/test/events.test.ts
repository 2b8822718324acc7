// The stream of events: what it says, and that nothing is missed where the connection is lost.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { ConnectionFailed, NotFound, Tidegate, TooManyListeners, UnexpectedAnswer, type Event } from "tidegate";

import { afresh, config, Daemon, world, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

const STREAM = { "Content-Type": "text/event-stream; charset=utf-8" };

async function next(events: AsyncGenerator<Event>): Promise<Event> {
  const { value } = await events.next();
  assert.ok(value);
  return value;
}

test("changes arrive", async () => {
  const events = it.client.events({ queues: ["null", "other"] });
  assert.deepEqual(await next(events), { kind: "ready" });
  const sent = await it.client.send("null", 1);
  for (const _ of [1, 2]) {
    const event = await next(events);
    assert.ok(event.kind === "message" && event.id === sent.id && event.at instanceof Date);
  }
  await it.client.pause("other", { for: "1m" });
  let event = await next(events);
  while (event.kind !== "queue") event = await next(events);
  assert.deepEqual([event.queue, event.change], ["other", "paused"]);
  await it.client.resume("other");
  await events.return();
});

test("nothing is missed after a restart", async () => {
  const daemon = await Daemon.start(config(it.downstream.url));
  const client = new Tidegate({ url: daemon.url, repeats: { deadlineMs: 60_000, initialMs: 50, waitMaxMs: 200 } });
  const events = client.events({ queues: ["null"], states: ["delivered"] });
  assert.equal((await next(events)).kind, "ready");
  const first = await client.send("null", 1);
  const event = await next(events);
  assert.ok(event.kind === "message" && event.id === first.id);
  await daemon.end();
  await daemon.start();
  const second: string[] = [];
  for (let n = 0; n < 5; n += 1) second.push((await client.send("null", n)).id);
  for (const id of second) assert.ok((await client.waitUntilFinal(id, { timeoutMs: 20_000 })).isFinal);
  const seen: string[] = [];
  while (seen.length < 5) {
    const one = await next(events);
    assert.notEqual(one.kind, "gap");
    if (one.kind === "message") seen.push(one.id);
  }
  assert.deepEqual(seen, second);
  await events.return();
  await daemon.remove();
});

test("a listener is aborted", async () => {
  const abort = new AbortController();
  const reason = new Error("enough");
  const events = it.client.events({ signal: abort.signal });
  assert.equal((await next(events)).kind, "ready");
  const waiting = events.next();
  abort.abort(reason);
  await assert.rejects(waiting, reason);
});

test("answers that are no stream", async () => {
  it.between.steps = [{ status: 503 }, { status: 200, headers: { "Content-Type": "text/html" }, body: "<html>" }];
  await assert.rejects(it.shaky.events().next(), (error) => error instanceof UnexpectedAnswer && /text\/html/.test(error.message));
  it.between.steps = [{ status: 404 }];
  await assert.rejects(it.shaky.events().next(), NotFound);
  const body = 'event: ready\ndata: {}\n\nevent: message\nid: 1\ndata: {"id": 7}\n\n';
  it.between.steps = [{ status: 200, headers: STREAM, body }];
  const events = it.shaky.events();
  assert.equal((await next(events)).kind, "ready");
  await assert.rejects(events.next(), /cannot be read/);
  it.between.steps = [{ status: 200, headers: STREAM, body: "x".repeat(2_000_000) }];
  await assert.rejects(it.shaky.events().next(), /does not end/);
});

test("a stream that ends begins again with the last id", async () => {
  const body = ': listening\r\nid: 5-0\r\n\r\nevent: gap\ndata: {"detail": "some are göne"}\n\n';
  const stream = { status: 200, headers: STREAM, body };
  it.between.steps = [stream, "cut", stream, { status: 429, headers: { "Retry-After": "600" } }];
  const events = it.shaky.events();
  assert.deepEqual(await next(events), { kind: "gap", detail: "some are göne" });
  assert.deepEqual(await next(events), { kind: "gap", detail: "some are göne" });
  await assert.rejects(events.next(), /429/);
  const ids = it.between.requests.map((each) => each.headers["last-event-id"]);
  assert.deepEqual(ids, [undefined, "5-0", "5-0", "5-0"]);
});

test("nobody answers", async () => {
  it.between.steps = Array.from({ length: 100 }, () => "cut" as const);
  const some = new Tidegate({ url: it.between.url, repeats: { deadlineMs: 200 } });
  await assert.rejects(some.events().next(), ConnectionFailed);
});

test("a hundred listeners and one", async () => {
  const open = Array.from({ length: 100 }, () => it.client.events());
  await Promise.all(open.map(async (each) => assert.equal((await next(each)).kind, "ready")));
  const none = new Tidegate({ url: it.daemon.url, repeats: { deadlineMs: 0 } });
  await assert.rejects(none.events().next(), TooManyListeners);
  await Promise.all(open.map((each) => each.return()));
});

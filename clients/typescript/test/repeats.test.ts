// What is repeated, how often, and what never is; with a real server between the client and the daemon.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import {
  BatchInterrupted,
  ConnectionFailed,
  InvalidRequest,
  NewMessage,
  StoreUnavailable,
  Tidegate,
  TidegateError,
  TooManyRequests,
  Unavailable,
  UnexpectedAnswer,
} from "tidegate";

import { afresh, config, Daemon, freePort, problem, until, world, type Answer, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

const HTML: Answer = { status: 503, headers: { "Content-Type": "text/html" }, body: "<h1>Service Unavailable</h1>" };

async function idsOf(key: string | null): Promise<string[]> {
  const page = await it.client.page("null", { idempotencyKey: key ?? "" });
  return page.messages.map((each) => each.id);
}

const PASSING: (Answer | "cut" | "lose")[] = [
  problem(503, "store-unavailable"),
  problem(503, "draining"),
  problem(503, "store-full", { retry_after_s: 0 }),
  problem(429, "backlog-full"),
  HTML,
  { status: 502 },
  { status: 504, body: "{}" },
  "cut",
  "lose",
];

for (const step of PASSING) {
  const name = typeof step === "string" ? step : `${step.status} ${String(step.body ?? "").slice(0, 60)}`;
  test(`a message is taken once: ${name}`, async () => {
    it.between.steps = [step, step];
    const sent = await it.shaky.send("null", { n: 1 });
    assert.equal(it.between.requests.length, 3);
    assert.equal(new Set(it.between.requests.map((each) => each.body.toString())).size, 1);
    assert.deepEqual(await idsOf(sent.idempotencyKey), [sent.id]);
    assert.equal(sent.duplicate, step === "lose");
  });
}

test("a published event is taken once", async () => {
  it.between.steps = ["lose"];
  assert.ok((await it.shaky.publish("order_paid", 1)).duplicate);
});

test("Retry-After is obeyed, and one beyond the deadline is told at once", async () => {
  it.between.steps = [problem(503, "draining", { retry_after_s: 1 })];
  const began = performance.now();
  await it.shaky.send("null", 1);
  assert.ok(performance.now() - began >= 1_000);
  it.between.steps = [problem(429, "backlog-full", { retry_after_s: 600 })];
  await assert.rejects(it.shaky.send("null", 1), (error) => {
    return error instanceof TooManyRequests && error.retryAfterMs === 600_000 && Boolean(error.idempotencyKey);
  });
  assert.ok(performance.now() - began < 10_000);
});

test("the deadline ends the repeats", async () => {
  it.between.otherwise = HTML;
  const some = new Tidegate({ url: it.between.url, repeats: { deadlineMs: 300, initialMs: 20 } });
  await assert.rejects(some.send("null", 1), Unavailable);
  assert.ok(it.between.requests.length > 2 && it.between.requests.length < 50);
  it.between.requests = [];
  const none = new Tidegate({ url: it.between.url, repeats: { deadlineMs: 0 } });
  await assert.rejects(none.send("null", 1), Unavailable);
  assert.equal(it.between.requests.length, 1);
});

test("what could be done twice is not repeated", async () => {
  const sent = await it.client.send("null", 1, { delay: "1h" });
  await it.client.cancel(sent.id);
  for (const step of ["lose", problem(503, "store-unavailable"), HTML] as const) {
    [it.between.steps, it.between.requests] = [[step], []];
    await assert.rejects(it.shaky.requeue(sent.id), TidegateError);
    assert.equal(it.between.requests.length, 1);
  }
  it.between.steps = ["cut"];
  await assert.rejects(it.shaky.send("null", 1, { idempotencyKey: null }), (error) => {
    return error instanceof ConnectionFailed && error.mayHaveArrived && error.idempotencyKey === undefined;
  });
});

test("what was surely refused is repeated", async () => {
  const sent = await it.client.send("null", 1, { delay: "1h" });
  it.between.steps = [problem(503, "draining"), problem(429, "too-many-listeners")];
  assert.equal((await it.shaky.run(sent.id)).id, sent.id);
  assert.equal(it.between.requests.length, 3);
});

test("faults are not repeated", async () => {
  await assert.rejects(it.shaky.send("null", 1, { priority: 10 }), InvalidRequest);
  it.between.steps = [problem(500, "internal")];
  await assert.rejects(it.shaky.send("null", 1), /500 internal/);
  assert.equal(it.between.requests.length, 2);
});

const ODD: Answer[] = [
  { status: 200, body: "" },
  { status: 201, body: "<html>" },
  { status: 200, body: "[]" },
  { status: 201, body: '{"id": 5}' },
  { status: 200, body: "null" },
  { status: 302, headers: { Location: "/elsewhere" } },
  { status: 418, body: "teapot" },
  { status: 200, body: Buffer.from([0xff, 0xfe]) },
  { status: 200, body: "[".repeat(100_000) },
];

test("odd answers", async () => {
  for (const answer of ODD) {
    it.between.steps = [answer];
    await assert.rejects(it.shaky.send("null", 1), (error) => {
      return error instanceof UnexpectedAnswer && error.status === answer.status && Boolean(error.idempotencyKey);
    });
  }
});

test("nobody is there", async () => {
  const lonely = new Tidegate({ url: `http://127.0.0.1:${await freePort()}`, repeats: { deadlineMs: 100 } });
  await assert.rejects(lonely.queues(), (error) => {
    return error instanceof ConnectionFailed && !error.mayHaveArrived && /tidegate health/.test(error.message);
  });
  const slow = new Tidegate({ url: it.daemon.url, timeoutMs: 1, repeats: { deadlineMs: 0 } });
  // A millisecond is too short for an answer that waits.
  await assert.rejects(Promise.all(Array.from({ length: 200 }, () => slow.queues())), ConnectionFailed);
});

test("a batch repeats what may be missing", async () => {
  const messages = [0, 1, 2, 3].map((n) => new NewMessage(n, n === 2 ? { idempotencyKey: null } : {}));
  const unknown = JSON.parse(String(problem(503, "store-unavailable").body)) as unknown;
  const results = [{ index: 0, id: "null_1" }, ...[1, 2, 3].map((index) => ({ index, problem: unknown }))];
  it.between.steps = [{ status: 200, body: JSON.stringify({ accepted: 1, rejected: 3, results }) }, "pass"];
  const done = await it.shaky.sendMany("null", messages);
  const again = JSON.parse(String(it.between.requests[1]?.body)) as { payload: number }[];
  assert.deepEqual(again.map((each) => each.payload), [1, 3]);
  assert.deepEqual(done.rejected.map((each) => each.index), [2]);
  assert.ok(done.rejected[0]?.problem instanceof StoreUnavailable);
  assert.deepEqual(await idsOf(messages[3]?.idempotencyKey ?? null), [done.results[3]?.id]);
});

test("a batch that is interrupted goes on", async () => {
  const messages = Array.from({ length: 6_000 }, () => new NewMessage("x".repeat(1_000), { delay: "1h" }));
  const once = new Tidegate({ url: it.between.url, repeats: { deadlineMs: 0 } });
  it.between.steps = ["pass", "lose"];
  let taken = 0;
  await assert.rejects(once.sendMany("other", messages), (error) => {
    if (!(error instanceof BatchInterrupted)) return false;
    taken = error.results.length;
    return error.cause instanceof ConnectionFailed;
  });
  assert.ok(taken > 0 && taken < 6_000);
  const again = await once.sendMany("other", messages);
  assert.equal(again.rejected.length, 0);
  assert.ok(again.results.filter((each) => each.duplicate).length > taken);
  it.between.steps = [{ status: 200, body: '{"accepted":0,"rejected":0,"results":[{"index":7,"id":"x"}]}' }];
  await assert.rejects(it.shaky.sendMany("null", [new NewMessage(1)]), /says nothing of 1/);
});

for (const count of [3, 10_001]) {
  test(`a frozen daemon ends a batch of ${count} in the time that was set`, async () => {
    const messages = Array.from({ length: count }, (_, n) => new NewMessage({ n, x: "x".repeat(300) }));
    const repeats = { deadlineMs: 1_500, initialMs: 100, waitMaxMs: 200 };
    const client = new Tidegate({ url: it.daemon.url, timeoutMs: 500, repeats });
    await it.daemon.frozen(async () => {
      const began = performance.now();
      await assert.rejects(client.sendMany("null", messages), (error) => {
        assert.ok(error instanceof BatchInterrupted && error.cause instanceof ConnectionFailed);
        assert.deepEqual(error.results, []);
        return true;
      });
      const tookMs = performance.now() - began;
      // The first try, the deadline, and a try that was begun within it.
      assert.ok(tookMs > 1_500 && tookMs < 500 + 1_500 + 500 + 1_500, `${tookMs} ms`);
    });
    assert.equal((await it.client.sendMany("null", messages)).accepted.length, count);
  });
}

test("a timeout holds for every request", async () => {
  // What a request that is not answered waits for.
  async function limitMs(timeoutMs: number | undefined, ask: (client: Tidegate) => Promise<unknown>): Promise<number> {
    const waits: number[] = [];
    const { setTimeout } = globalThis;
    const fetch = () => Promise.reject(new Error("nobody"));
    const client = new Tidegate({ url: it.daemon.url, repeats: { deadlineMs: 0 }, timeoutMs, fetch });
    globalThis.setTimeout = ((then: () => void, ms: number) => {
      waits.push(ms);
      return setTimeout(then, ms);
    }) as typeof setTimeout;
    try {
      await assert.rejects(ask(client), TidegateError);
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    return waits[0] ?? 0;
  }
  const asks = [
    (client: Tidegate) => client.sendMany("null", [new NewMessage(1)]),
    (client: Tidegate) => client.queues(),
    (client: Tidegate) => client.get("a", { waitMs: 20_000 }),
  ];
  for (const [timeoutMs, expected] of [[undefined, [60_000, 10_000, 30_000]], [2_000, [2_000, 2_000, 22_000]]] as const) {
    const found = [];
    for (const ask of asks) found.push(await limitMs(timeoutMs, ask));
    assert.deepEqual(found, expected);
  }
});

test("the daemon is killed during a wait", async () => {
  const daemon = await Daemon.start(config(it.downstream.url));
  const client = new Tidegate({ url: daemon.url, repeats: { deadlineMs: 60_000, initialMs: 50, waitMaxMs: 200 } });
  const sent = await client.send("null", 1, { delay: "4s" });
  const waiting = client.waitUntilFinal(sent.id, { timeoutMs: 60_000 });
  await daemon.end("SIGKILL");
  await daemon.start();
  assert.equal((await waiting).state, "delivered");
  await daemon.remove();
});

test("a wait that is aborted leaves the client whole", async () => {
  const sent = await it.client.send("null", 1, { delay: "1h" });
  const abort = new AbortController();
  const reason = new Error("enough");
  const waiting = it.client.waitUntilFinal(sent.id, { timeoutMs: 60_000, signal: abort.signal });
  setTimeout(() => abort.abort(reason), 50);
  await assert.rejects(waiting, reason);
  await assert.rejects(it.client.get(sent.id, { signal: abort.signal }), reason);
  it.between.otherwise = HTML;
  const patient = new Tidegate({ url: it.between.url, repeats: { initialMs: 60_000, waitMaxMs: 60_000, deadlineMs: 1e6 } });
  const sleeping = new AbortController();
  const repeating = patient.queues({ signal: sleeping.signal });
  await until(() => it.between.requests.length > 0, "the first try was made");
  sleeping.abort(reason);
  await assert.rejects(repeating, reason);
  assert.equal((await it.client.cancel(sent.id)).state, "cancelled");
});

test("many at once", async () => {
  it.between.steps = Array.from({ length: 10 }, () => ["lose", HTML, "cut"] as const).flat();
  const sent = await Promise.all(Array.from({ length: 20 }, () => it.shaky.send("null", 1)));
  assert.equal(new Set(sent.map((each) => each.id)).size, 20);
});

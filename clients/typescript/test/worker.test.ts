// The worker: claims, renews, settles and stops; against a real queue with `type = "pull"`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Dead, NotFound, Release, Retry, settlement, Tidegate, Worker, WrongState, type ClaimedMessage } from "tidegate";

import { afresh, config, Daemon, PACKAGE, problem, until, world, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());
afterEach(async () => {
  for (const queue of ["work", "print"]) {
    await until(async () => (await it.client.queue(queue)).counts.leased === 0, "no message is held");
    const { messages } = await it.client.page(queue, { state: ["scheduled", "ready"] });
    for (const each of messages) await it.client.cancel(each.id);
  }
});

const done = (message: { id: string }) => it.client.waitUntilFinal(message.id, { timeoutMs: 30_000 });
const quiet = { log: () => undefined, signals: false };

/** Runs the worker while `body` does; stops it at the end. */
async function running(worker: Worker, body: () => Promise<void>): Promise<void> {
  const run = worker.run();
  try {
    await Promise.race([body(), run]);
  } finally {
    worker.stop();
    await run;
  }
}

test("claim and settle by hand", async () => {
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const headers = { traceparent: `00-${trace}-b7ad6b7169203331-01` };
  const sent = await it.client.send("work", { page: 1 }, { labels: { a: "b" }, headers });
  const [claimed] = await it.client.claim("work", { waitMs: 10_000, lease: "20s" });
  assert.ok(claimed);
  assert.equal(claimed.headers.traceparent?.split("-")[1], trace);
  assert.deepEqual([claimed.id, claimed.attempt, claimed.payload, claimed.labels], [sent.id, 1, { page: 1 }, { a: "b" }]);
  const [renew, end] = [settlement(claimed, "renew", { lease: "1m" }), settlement(claimed, "delivered", { result: [1] })];
  const verdicts = await it.client.settle("work", [renew, end, end, { id: "x", token: "y", as: "dead" }]);
  assert.deepEqual(verdicts.map((each) => each.verdict), ["ok", "ok", "already", "invalid"]);
  assert.ok(verdicts[3]?.problem);
  assert.equal((await done(sent)).result?.body, "[1]");
  assert.deepEqual(await it.client.claim("work"), []);
});

test("every end of a handler", async () => {
  const said = new Map<string, (message: ClaimedMessage) => unknown>();
  const raises = (error: unknown) => () => {
    throw error;
  };
  let released = 0;
  const ends = [
    () => ({ printed: true }),
    raises(new TypeError("a bug")),
    raises(new Retry("busy", { delay: "1ms" })),
    raises(new Dead("no such page")),
    () => (released++ === 0 ? raises(new Release())() : "second"),
    () => undefined,
    () => 1n,
    () => ({ pages: Number.NaN }),
    raises("a text"),
    raises(new Error("\ud800" + "日本".repeat(5_000))),
    () => "x".repeat(400_000),
    async () => Promise.reject(new Error("later")),
  ];
  await it.client.pause("work");
  const ids: string[] = [];
  for (const end of ends) {
    const sent = await it.client.send("work", 1);
    said.set(sent.id, end);
    ids.push(sent.id);
  }
  const handle = (message: ClaimedMessage) => (message.attempt === 1 ? said.get(message.id)?.(message) : "again");
  await running(new Worker(it.client, "work", handle, { concurrency: 5, waitMs: 1_000, ...quiet }), async () => {
    await it.client.resume("work");
    const final = [];
    for (const id of ids) final.push(await done({ id }));
    assert.deepEqual(final.map((each) => each.state), ends.map((_, at) => (at === 3 ? "dead" : "delivered")));
    assert.deepEqual(final.map((each) => each.attempts), [1, 2, 2, 1, 1, 1, 1, 1, 2, 2, 1, 2]);
    assert.deepEqual([final[6]?.result, final[7]?.result], [null, null]);
    assert.equal(final[3]?.reason, "no such page");
    const errors = await Promise.all([1, 2, 8].map(async (at) => (await it.client.attempts(ids[at] ?? ""))[0]?.error));
    assert.deepEqual(errors, ["TypeError: a bug", "busy", "a text"]);
  });
});

test("a lease is renewed while the handler works", async () => {
  const sent = await it.client.send("work", 1);
  const handle = (message: ClaimedMessage) =>
    until(() => Date.now() > message.leaseUntil.getTime() + 1_200, "the first lease would be over").then(() => "late");
  await running(new Worker(it.client, "work", handle, { leaseMs: 1_000, waitMs: 1_000, ...quiet }), async () => {
    const final = await done(sent);
    assert.deepEqual([final.state, final.attempts, final.rescues], ["delivered", 1, 0]);
  });
});

test("a handler that lost its message is aborted", async () => {
  const sent = await it.client.send("work", 1);
  let began = () => {};
  let lost = () => {};
  const hasBegun = new Promise<void>((resolve) => (began = resolve));
  const isLost = new Promise<void>((resolve) => (lost = resolve));
  const handle = async (_: ClaimedMessage, { signal }: { signal: AbortSignal }) => {
    began();
    await once(signal, "abort");
    lost();
    throw signal.reason;
  };
  await running(new Worker(it.shaky, "work", handle, { leaseMs: 1_000, waitMs: 1_000, ...quiet }), async () => {
    await hasBegun;
    // Nothing of the worker arrives until another one has the message.
    it.between.otherwise = problem(503, "draining");
    const [claimed] = await it.client.claim("work", { waitMs: 30_000 });
    assert.deepEqual([claimed?.id, claimed?.attempt], [sent.id, 2]);
    it.between.otherwise = "pass";
    await isLost;
    assert.ok(claimed);
    await it.client.settle("work", [settlement(claimed, "delivered")]);
  });
  assert.equal((await it.client.get(sent.id)).rescues, 1);
});

test("work of many is done once", async () => {
  const seen: string[] = [];
  const ids: string[] = [];
  for (let n = 0; n < 60; n += 1) ids.push((await it.client.send("work", n)).id);
  const worker = new Worker(it.client, "work", (message) => void seen.push(message.id), { concurrency: 8, ...quiet });
  await running(worker, async () => {
    for (const id of ids) assert.equal((await done({ id })).state, "delivered");
  });
  assert.deepEqual(seen.sort(), ids.sort());
});

test("a worker outlives a daemon that is killed", async () => {
  const daemon = await Daemon.start(config(it.downstream.url));
  const client = new Tidegate({ url: daemon.url, repeats: { deadlineMs: 60_000, initialMs: 50, waitMaxMs: 200 } });
  let goOn = () => {};
  let began = () => {};
  const hasBegun = new Promise<void>((resolve) => (began = resolve));
  const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
  const handle = async () => (began(), await mayGoOn, "done");
  await running(new Worker(client, "work", handle, { leaseMs: 20_000, waitMs: 1_000, ...quiet }), async () => {
    const first = await client.send("work", 1);
    await hasBegun;
    await daemon.end("SIGKILL");
    goOn();
    await daemon.start();
    assert.equal((await client.waitUntilFinal(first.id, { timeoutMs: 30_000 })).attempts, 1);
    const second = await client.send("work", 2);
    assert.equal((await client.waitUntilFinal(second.id, { timeoutMs: 30_000 })).state, "delivered");
  });
  await daemon.remove();
});

const PROGRAM = `
import { Tidegate, Worker } from "tidegate";
const handle = async (message) => {
  console.log("began");
  await new Promise((resolve) => setTimeout(resolve, message.payload.takes_ms));
};
const options = { concurrency: 4, leaseMs: 2000, drainMs: Number(process.argv[2]) };
await new Worker(new Tidegate(), "work", handle, options).run();
console.log("ended");
process.exit(0);
`;

async function program(drainMs: number) {
  // Below the package, where its own name is found.
  const file = join(PACKAGE, "build", "worker.mjs");
  await writeFile(file, PROGRAM);
  const env = { ...process.env, TIDEGATE_URL: it.daemon.url };
  const child = spawn(process.execPath, [file, String(drainMs)], { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, "exit");
  return { child, said: () => said, ended };
}

test("SIGTERM lets the handler finish", async () => {
  const { child, said, ended } = await program(30_000);
  const sent = await it.client.send("work", { takes_ms: 3_000 });
  await until(() => said().includes("began"), "the handler has begun");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.equal(said(), "began\nended\n");
  const final = await it.client.get(sent.id);
  assert.deepEqual([final.state, final.attempts], ["delivered", 1]);
});

test("a second SIGTERM, and the drain, end it", async () => {
  for (const [drainMs, signals] of [[30_000, 2], [200, 1]] as const) {
    const { child, said, ended } = await program(drainMs);
    const sent = await it.client.send("work", { takes_ms: 600_000 });
    await until(() => said().includes("began"), "the handler has begun");
    for (let n = 0; n < signals; n += 1) {
      child.kill("SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.deepEqual(await ended, [0, null]);
    // Its handler may still have been at work: the lease decides, and the next one takes it.
    await until(async () => (await it.client.get(sent.id)).state !== "leased", "the lease is over");
    await it.client.cancel(sent.id);
  }
});

test("an idle worker stops at once, and an aborted handler is a retry", async () => {
  const worker = new Worker(it.client, "print", () => undefined, { waitMs: 60_000, ...quiet });
  let began = 0;
  await running(worker, async () => {
    assert.equal((await done(await it.client.send("print", 1))).state, "delivered");
    began = performance.now();
  });
  assert.ok(performance.now() - began < 5_000);
  const sent = await it.client.send("work", 1);
  const handle = async (_: ClaimedMessage, { signal }: { signal: AbortSignal }) => {
    await Promise.race([once(signal, "abort").then(() => Promise.reject(signal.reason)), until(() => false, "never")]);
  };
  const busy = new Worker(it.client, "work", handle, { drainMs: 100, ...quiet });
  await running(busy, async () => void (await until(async () => (await it.client.get(sent.id)).attempts === 1, "claimed")));
  assert.match((await it.client.attempts(sent.id))[0]?.error ?? "", /stopped/);
});

test("trouble while claiming and settling", async () => {
  const said: string[] = [];
  const sent = [await it.client.send("work", 1), await it.client.send("work", 2), await it.client.send("work", 3)];
  it.between.steps = ["cut", problem(503, "store-unavailable"), "pass", "lose", problem(503, "draining")];
  const options = { concurrency: 3, waitMs: 1_000, signals: false, log: (words: string) => void said.push(words) };
  await running(new Worker(it.shaky, "work", () => undefined, options), async () => {
    for (const each of sent) assert.equal((await done(each)).attempts, 1);
  });
  assert.match(said.join("\n"), /no messages could be claimed from work/);
});

test("a worker without a queue says so", async () => {
  await assert.rejects(new Worker(it.client, "nothing", () => 1, quiet).run(), NotFound);
  await assert.rejects(new Worker(it.client, "null", () => 1, quiet).run(), WrongState);
  for (const odd of [{ concurrency: 0 }, { concurrency: 1.5 }, { concurrency: 1_001 }, { leaseMs: 10 }]) {
    assert.throws(() => new Worker(it.client, "work", () => 1, odd), /give/);
  }
});

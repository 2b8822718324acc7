// Every class of error, as the daemon brings it about where it can, and the fields of the problem.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import * as tidegate from "tidegate";
import { NewMessage, ProblemError, Tidegate, type Message } from "tidegate";

import { afresh, Daemon, PACKAGE, problem, program, world, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

type Class = new (...given: never[]) => Error;
const classes = tidegate as unknown as Record<string, Class>;
const classOf = (code: string) => code.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
const ofOthers = ["internal", "request-timeout", "store-full", "store-unavailable", "draining", "too-many-listeners"];
const statusOf: Record<string, number> = { internal: 500, "request-timeout": 408, "too-many-listeners": 429 };

test("every code of the API has a class", async () => {
  const document = await readFile(join(PACKAGE, "..", "..", "docs", "openapi.json"), "utf8");
  const { components } = JSON.parse(document) as { components: { schemas: { ProblemCode: { enum: string[] } } } };
  const once = new Tidegate({ url: it.between.url, repeats: { deadlineMs: 0 } });
  for (const code of components.schemas.ProblemCode.enum) {
    it.between.steps = [problem(statusOf[code] ?? 503, code, { retry_after_s: 100 })];
    const kind = classes[classOf(code)];
    assert.ok(kind, `${code} has no class ${classOf(code)}`);
    await assert.rejects(once.queues(), (error) => error instanceof kind && error.name === classOf(code));
  }
});

const send = (n: unknown, key?: string) => it.client.send("null", n, key ? { idempotencyKey: key } : {});

async function missed(): Promise<Message> {
  await it.client.pause("print", { for: "2h" });
  try {
    return await it.client.send("print", 1, { mustDispatchBy: new Date(Date.now() + 60_000) });
  } finally {
    await it.client.resume("print");
  }
}

const OF_DAEMON: Record<string, () => Promise<unknown>> = {
  InvalidRequest: () => it.client.send("null", 1, { delay: "soon" }),
  NotFound: () => it.client.get("null_01JD3A9PX2M7Q8R4T6V0W1Y2Z3"),
  MethodNotAllowed: () => it.client.request("PUT", "/v1/queues"),
  WrongState: async () => it.client.requeue((await it.client.send("null", 1, { delay: "1h" })).id),
  TooLarge: () => send("x".repeat(300_000)),
  IdempotencyMismatch: async () => (await send(1, "one"), await send(2, "one")),
  CostTooLarge: () => it.client.send("scarce", 1, { cost: 11 }),
  WindowMissed: missed,
  HeadersTooLarge: () => it.client.request("GET", "/v1/queues", { query: { x: "y".repeat(40_000) } }),
  BacklogFull: async () => {
    const once = new Tidegate({ url: it.daemon.url, repeats: { deadlineMs: 0 } });
    for (let n = 0; n < 3; n += 1) await once.send("small", n);
  },
};

for (const [name, bring] of Object.entries(OF_DAEMON)) {
  test(`the daemon refuses: ${name}`, async () => {
    await assert.rejects(bring(), (error) => {
      assert.ok(error instanceof ProblemError, String(error));
      assert.equal(error.name, name);
      assert.equal(error.status, error.problem.status);
      assert.equal(error.code, error.problem.code);
      assert.ok(error.message.startsWith(`${error.status} ${error.code}: `));
      if (name === "InvalidRequest") assert.equal(error.pointer, "/delay");
      if (name === "WrongState") assert.equal(error.state, "scheduled");
      if (name === "BacklogFull") assert.ok((error.retryAfterMs ?? 0) > 0);
      if (name === "IdempotencyMismatch") assert.equal(error.idempotencyKey, "one");
      return true;
    });
  });
}

test("what the daemon seldom says has bases", () => {
  for (const code of ofOthers) assert.ok(classes[classOf(code)]?.prototype instanceof ProblemError);
  assert.ok(tidegate.StoreFull.prototype instanceof tidegate.Unavailable);
  assert.ok(tidegate.BacklogFull.prototype instanceof tidegate.TooManyRequests);
});

test("several faults at once", async () => {
  const headers = { X: "a\r\nX-Evil: 1" };
  const labels = { a: "b".repeat(300) };
  await assert.rejects(it.client.send("null", 1, { priority: 12, delay: "soon", headers, labels }), (error) => {
    assert.ok(error instanceof tidegate.InvalidRequest);
    const pointers = error.errors.map((each) => each.pointer);
    assert.ok(["/priority", "/delay"].every((each) => pointers.includes(each)), String(pointers));
    return pointers.some((each) => each.startsWith("/headers"));
  });
});

test("what cannot be read of a problem", async () => {
  const odd = { errors: ["x", { pointer: 5 }], code: "__proto__", detail: null, retry_after_s: "soon" };
  it.between.steps = [{ status: 400, body: JSON.stringify(odd) }];
  await assert.rejects(it.shaky.queues(), (error) => {
    assert.ok(error instanceof tidegate.InvalidRequest);
    return error.errors[0]?.pointer === "5" && error.retryAfterMs === undefined;
  });
});

test("names lead nowhere else", async () => {
  for (const name of ["", ".", "..", "%2e", "%2E%2e", ".%2e", "a/b", "a?b=c", "a#b", "ü", "a\r\nb", "\ud800"]) {
    const asks: (() => Promise<unknown>)[] = [
      () => it.client.queue(name),
      () => it.client.get(name),
      () => it.client.cancel(name),
    ];
    for (const ask of asks) {
      await assert.rejects(ask(), (error) => {
        const isRefused = error instanceof tidegate.NotFound || error instanceof tidegate.InvalidRequest;
        return isRefused || error instanceof TypeError || error instanceof URIError;
      });
    }
  }
});

test("what JSON cannot express", async () => {
  const circle: unknown[] = [];
  circle.push(circle);
  const odds = [undefined, () => 1, Symbol("x"), 1n, circle, Number.NaN, Infinity, [undefined], new Map(), new Date("never")];
  const nested = [new Set([1]), Promise.resolve(1), /x/, new Float32Array(1), Uint8Array.of(1), () => 1, -Infinity];
  for (const payload of [...odds, ...nested.map((each) => ({ a: [each] }))]) {
    await assert.rejects(it.shaky.send("null", payload), TypeError);
    await assert.rejects(it.shaky.editPayload("null_1", payload), TypeError);
    const messages = [new NewMessage(1), new NewMessage(payload)];
    await assert.rejects(it.shaky.sendMany("null", messages), /^TypeError: messages\[1\]: /);
  }
  await assert.rejects(it.shaky.send("null", { a: [1, { "b/c": Number.NaN }] }), /^TypeError: \/payload\/a\/1\/b~1c is NaN, which/);
  await assert.rejects(it.shaky.send("null", { a: new Map() }), /\/payload\/a is of the class Map, .*give/);
  await assert.rejects(it.shaky.send("null", 1, { delay: Number.NaN }), /\/delay is NaN/);
  await assert.rejects(it.shaky.request("POST", "/v1/x", { json: { a: Number.NaN } }), /\/a is NaN/);
  assert.deepEqual(it.between.requests, []);
  // As everywhere in JavaScript.
  const at = new Date();
  const sent = await it.client.send("null", { a: undefined, b: null, at, shared: [at, at] }, { delay: "1h" });
  const { payload } = await it.client.get(sent.id, { view: "full" });
  assert.deepEqual(payload, { b: null, at: at.toJSON(), shared: [at.toJSON(), at.toJSON()] });
  let deep: unknown = [];
  for (let n = 0; n < 200; n += 1) deep = [deep];
  await assert.rejects(send(deep), tidegate.InvalidRequest);
  await assert.rejects(it.client.send("null", 1, { dueAt: new Date("never") }), /^RangeError: dueAt is/);
});

test("tokens", async () => {
  const made = spawnSync(program(), ["token", "new", "shop"], { encoding: "utf8" });
  const said = made.stdout + made.stderr;
  const line = said.split("\n").find((each) => each.includes("sha256")) ?? "";
  const token = said.split(/\s+/).find((each) => each.startsWith("tg_") || /^[0-9A-Za-z]{31,}$/.test(each)) ?? "";
  const tokens = `tokens = [${line.slice(line.indexOf("{"), line.lastIndexOf("}") + 1)}]\n`;
  const daemon = await Daemon.start(`${tokens}[queues.null.downstream]\ntype = "null"\n`);
  const client = new Tidegate({ url: daemon.url, token });
  assert.ok((await client.send("null", 1)).id);
  await assert.rejects(client.queues(), tidegate.Forbidden);
  const other = new Tidegate({ url: daemon.url, token: "wrong" });
  await assert.rejects(other.send("null", 1), tidegate.Unauthorized);
  assert.ok(!JSON.stringify(client).includes(token));
  await daemon.remove();
});

test("a huge message beside others", async () => {
  const done = await it.client.sendMany("null", [1, "x".repeat(6_000_000), 2].map((each) => new NewMessage(each)));
  assert.deepEqual(done.rejected.map((each) => each.index), [1]);
  assert.ok(done.rejected[0]?.problem instanceof tidegate.TooLarge);
  await assert.rejects(it.client.sendMany("nothing", [new NewMessage(1)]), (error) => {
    assert.ok(error instanceof tidegate.BatchInterrupted && error.cause instanceof tidegate.NotFound);
    return /after 0 answered messages.*nothing/.test(error.message) && error.results.length === 0;
  });
});

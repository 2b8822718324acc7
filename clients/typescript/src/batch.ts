// Many messages, in requests of a bearable size. What may be missing is sent again.

import * as calls from "./calls.js";
import type { Call } from "./calls.js";
import { BatchInterrupted, Draining, StoreUnavailable, TidegateError } from "./errors.js";
import { newMessage, type NewMessage } from "./messages.js";
import type { BatchResult, BatchResults } from "./models.js";
import { Patience, type Repeats } from "./repeats.js";
import { sleep } from "./values.js";

/** The most messages that the daemon takes in one request. */
const ITEMS_MAX = 10_000;
/** A request is closed when it is so long: what is lost with a connection is sent again. */
const CHARS_MAX = 4 * 1024 * 1024;

interface Item {
  written: string;
  hasKey: boolean;
}

type Ask = <T>(call: Call<T>) => Promise<T>;

export async function sendMany(
  ask: Ask,
  repeats: Repeats,
  queue: string,
  messages: Iterable<NewMessage> | AsyncIterable<NewMessage>,
  signal?: AbortSignal,
): Promise<BatchResults> {
  const results: BatchResult[] = [];
  for await (const chunk of chunks(messages)) {
    let answered: BatchResult[];
    try {
      answered = await sendChunk(ask, repeats, queue, chunk, signal);
    } catch (error) {
      throw error instanceof TidegateError ? new BatchInterrupted(results, error) : error;
    }
    for (const result of answered) results.push({ ...result, index: results.length });
  }
  return {
    results,
    accepted: results.filter((each) => each.problem === undefined),
    rejected: results.filter((each) => each.problem !== undefined),
  };
}

async function* chunks(messages: Iterable<NewMessage> | AsyncIterable<NewMessage>): AsyncGenerator<Item[]> {
  let chunk: Item[] = [];
  let chars = 0;
  let index = 0;
  for await (const given of messages) {
    const item = itemOf(given, `messages[${index}]`);
    index += 1;
    if (chunk.length > 0 && (chunk.length === ITEMS_MAX || chars + item.written.length > CHARS_MAX)) {
      yield chunk;
      [chunk, chars] = [[], 0];
    }
    chunk.push(item);
    chars += item.written.length;
  }
  if (chunk.length > 0) yield chunk;
}

function itemOf(given: NewMessage, what: string): Item {
  const message = newMessage(given, what);
  try {
    return { written: message.body(), hasKey: message.idempotencyKey !== undefined };
  } catch (error) {
    throw new TypeError(`${what}: ${(error as Error).message}`, { cause: error });
  }
}

async function sendChunk(
  ask: Ask,
  repeats: Repeats,
  queue: string,
  chunk: Item[],
  signal?: AbortSignal,
): Promise<BatchResult[]> {
  const settled = new Map<number, BatchResult>();
  const patience = new Patience(repeats);
  let left = [...chunk.keys()];
  for (;;) {
    const items = left.map((at) => chunk[at] as Item);
    const isRepeatable = items.every((item) => item.hasKey);
    const answer = await ask(calls.sendBatch(queue, items.map((item) => item.written), isRepeatable));
    for (const result of answer) {
      const at = left[result.index];
      if (at !== undefined) settled.set(at, result);
    }
    const missing = left.filter((at) => !settled.has(at)).length;
    if (missing > 0) {
      throw new TidegateError(`the answer says nothing of ${missing} of ${left.length} messages; send them again`);
    }
    const inOrder = () => [...chunk.keys()].map((at) => settled.get(at) as BatchResult);
    left = left.filter((at) => isOpen(settled.get(at) as BatchResult, chunk[at] as Item));
    const problem = left[0] === undefined ? undefined : settled.get(left[0])?.problem;
    if (problem === undefined) return inOrder();
    let waitMs: number;
    try {
      waitMs = patience.waitMs(problem, performance.now());
    } catch {
      return inOrder();
    }
    await sleep(waitMs, signal);
  }
}

/** Whether sending the item again may help, and cannot take it twice. */
function isOpen(result: BatchResult, item: Item): boolean {
  return result.problem instanceof Draining || (result.problem instanceof StoreUnavailable && item.hasKey);
}

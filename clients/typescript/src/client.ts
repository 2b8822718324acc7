// The client. What it asks, and what the answers mean, is in `calls` and `exchange`.

import { sendMany } from "./batch.js";
import * as calls from "./calls.js";
import type { Call, Change, Filter, Settlement } from "./calls.js";
import { NotFinal, TidegateError } from "./errors.js";
import { exchange, settingsOf, type Options, type Settings } from "./exchange.js";
import { known, span } from "./fields.js";
import { NewMessage, type MessageFields } from "./messages.js";
import type {
  Attempt,
  BatchResults,
  ClaimedMessage,
  Event,
  Message,
  MessagePage,
  Published,
  Queue,
  Verdict,
} from "./models.js";
import { Patience } from "./repeats.js";
import { tail, type TailOptions } from "./tail.js";
import { sleep, type Duration, type Moment } from "./values.js";

/** Given to any method: rejects it with the signal's reason as soon as the signal is aborted. */
export interface Abortable {
  signal?: AbortSignal | undefined;
}

/** Those of a page, and of a list. */
const PAGE_FIELDS = [...calls.FILTERS, "pageSize", "cursor"];
const LIST_FIELDS = [...calls.FILTERS, "pageSize"];
/** The least time between two questions, where the daemon or a proxy does not wait as it was asked to. */
const EARLY_ANSWER_MS = 250;

/** A client of one daemon. Requests are repeated as `repeats` says. */
export class Tidegate {
  readonly settings: Settings;

  constructor(options: Options = {}) {
    this.settings = settingsOf(options);
    // A token is nobody's business in a log.
    Object.defineProperty(this, "settings", { enumerable: false });
  }

  // ── hand over ──────────────────────────────────────────────────────────────────────────────────

  /** Hands a message over; it is stored when this resolves. Repeats take it once. */
  async send(queue: string, payload: unknown, fields: MessageFields & Abortable = {}): Promise<Message> {
    const { signal, ...of } = fields;
    return this.sendMessage(queue, new NewMessage(payload, of), { signal });
  }

  /** Hands over a message that was made before, perhaps for the second time. */
  async sendMessage(queue: string, message: NewMessage, options: Abortable = {}): Promise<Message> {
    return this.call(calls.send(queue, message), options);
  }

  /**
   * Hands over any number of messages. Each is judged for itself: look at `rejected`. If a request fails, this
   * rejects with `BatchInterrupted`, which has the results of those that were answered before. A request may
   * take 60,000 ms, or the `timeoutMs` of the client.
   */
  async sendMany(
    queue: string,
    messages: Iterable<NewMessage> | AsyncIterable<NewMessage>,
    options: Abortable = {},
  ): Promise<BatchResults> {
    const { signal } = known(options, ["signal"]);
    return sendMany((call) => this.call(call, { signal }), this.settings.repeats, queue, messages, signal);
  }

  /** Hands an event over to each queue of a topic. */
  async publish(topic: string, payload: unknown, fields: MessageFields & Abortable = {}): Promise<Published> {
    const { signal, ...of } = fields;
    return this.call(calls.publish(topic, new NewMessage(payload, of)), { signal });
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  /** A message; with `waitMs` (at most 60,000) as soon as it is final, or after that time as it is. */
  async get(id: string, options: { waitMs?: number; view?: "basic" | "full" } & Abortable = {}): Promise<Message> {
    return this.call(calls.message(id, options.waitMs, options.view ?? "basic"), options, ["waitMs", "view"]);
  }

  /** The message when it is final; rejects with `NotFinal` after `timeoutMs`. */
  async waitUntilFinal(id: string, options: { timeoutMs: number } & Abortable): Promise<Message> {
    const timeoutMs = span(known(options, ["timeoutMs", "signal"]).timeoutMs, "timeoutMs");
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const askedMs = performance.now();
      const waitMs = Math.min(Math.max(deadlineMs - askedMs, 0), calls.WAIT_MAX_MS);
      const message = await this.get(id, { waitMs, signal: options.signal });
      const nowMs = performance.now();
      if (message.isFinal) return message;
      if (nowMs >= deadlineMs) throw new NotFinal(message, timeoutMs);
      if (nowMs - askedMs < Math.min(EARLY_ANSWER_MS, waitMs)) {
        await sleep(Math.min(EARLY_ANSWER_MS, deadlineMs - nowMs), options.signal);
      }
    }
  }

  /** The tries to deliver a message. */
  async attempts(id: string, options: Abortable = {}): Promise<Attempt[]> {
    return this.call(calls.attempts(id), options);
  }

  /** Cancels a message that waits; `WrongState` if it is being sent or is final. */
  async cancel(id: string, options: Abortable = {}): Promise<Message> {
    return this.call(calls.cancel(id), options);
  }

  /** Changes when a message is due. */
  async reschedule(id: string, when: Pick<Change, "delay" | "dueAt">, options: Abortable = {}): Promise<Message> {
    return this.call(calls.reschedule(id, when), options);
  }

  /** Changes a message that waits. */
  async edit(id: string, change: Change, options: Abortable = {}): Promise<Message> {
    return this.call(calls.edit(id, change), options);
  }

  /** Changes the payload of a message that is dead, uncertain or scheduled. */
  async editPayload(id: string, payload: unknown, options: Abortable = {}): Promise<Message> {
    return this.call(calls.editPayload(id, payload), options);
  }

  /** Makes a message due now; limits and windows hold. */
  async run(id: string, options: Abortable = {}): Promise<Message> {
    return this.call(calls.run(id), options);
  }

  /** Sends a dead, uncertain, expired or cancelled message again. */
  async requeue(id: string, options: Abortable = {}): Promise<Message> {
    return this.call(calls.requeue(id), options);
  }

  /** Decides on an uncertain message. */
  async resolve(
    id: string,
    as: "delivered" | "resend" | "dead",
    options: { reason?: string } & Abortable = {},
  ): Promise<Message> {
    return this.call(calls.resolve(id, as, options.reason), options, ["reason"]);
  }

  /** All messages of a queue that match, page by page; `pageSize` is 100 by default and at most 1,000. */
  async *messages(
    queue: string,
    options: Filter & { pageSize?: number } & Abortable = {},
  ): AsyncGenerator<Message, void, undefined> {
    known(options, [...LIST_FIELDS, "signal"]);
    let page: MessagePage = await this.page(queue, options);
    yield* page.messages;
    while (page.nextCursor !== null) {
      page = await this.page(queue, { ...options, cursor: page.nextCursor });
      yield* page.messages;
    }
  }

  /** One page of a list. It may be empty and still have a `nextCursor`. */
  async page(
    queue: string,
    options: Filter & { pageSize?: number; cursor?: string } & Abortable = {},
  ): Promise<MessagePage> {
    return this.call(calls.page(queue, options, options.pageSize, options.cursor), options, PAGE_FIELDS);
  }

  // ── queues ─────────────────────────────────────────────────────────────────────────────────────

  /** All queues. */
  async queues(options: Abortable = {}): Promise<Queue[]> {
    return this.call(calls.queues(), options);
  }

  /** One queue. */
  async queue(name: string, options: Abortable = {}): Promise<Queue> {
    return this.call(calls.queue(name), options);
  }

  /** Pauses a queue, until `resume` if neither `until` nor `for` is given. */
  async pause(
    name: string,
    options: { until?: Moment; for?: Duration; reason?: string } & Abortable = {},
  ): Promise<Queue> {
    return this.call(calls.pause(name, options), options, ["until", "for", "reason"]);
  }

  /** Ends a pause, and opens a queue that the answers of its downstream have shut. */
  async resume(name: string, options: Abortable = {}): Promise<Queue> {
    return this.call(calls.resume(name), options);
  }

  /** Changes of state as they happen, over all losses of the connection. It does not end by itself. */
  events(options: TailOptions = {}): AsyncGenerator<Event, void, undefined> {
    return tail(this.settings, known(options, ["queues", "states", "after", "signal"]));
  }

  // ── workers ────────────────────────────────────────────────────────────────────────────────────

  /** Takes messages of a queue with `type = "pull"`; `Worker` does this and the rest. */
  async claim(
    queue: string,
    options: { max?: number; waitMs?: number; lease?: Duration } & Abortable = {},
  ): Promise<ClaimedMessage[]> {
    const call = calls.claim(queue, options.max ?? 1, options.waitMs, options.lease);
    return this.call(call, options, ["max", "waitMs", "lease"]);
  }

  /** Reports what became of claimed messages; `settlement` makes the items. */
  async settle(queue: string, settlements: readonly Settlement[], options: Abortable = {}): Promise<Verdict[]> {
    return this.call(calls.settle(queue, settlements), options);
  }

  // ── everything else ────────────────────────────────────────────────────────────────────────────

  /** A route that has no method here, such as `request("GET", "/v1/doctor")`. */
  async request(
    method: string,
    path: string,
    options: { json?: unknown; query?: Readonly<Record<string, string>>; idempotencyKey?: string } & Abortable = {},
  ): Promise<unknown> {
    return this.call(calls.anything(method, path, options), options, ["json", "query", "idempotencyKey"]);
  }

  /** Carries out one call, with its repeats. `names` are the options that its method has beside the signal. */
  private async call<T>(call: Call<T>, options: Abortable, names: readonly string[] = []): Promise<T> {
    const { signal } = known(options, [...names, "signal"]);
    const patience = new Patience(this.settings.repeats, call.isRepeatable);
    for (;;) {
      try {
        return await exchange(call, this.settings, signal);
      } catch (error) {
        if (!(error instanceof TidegateError)) throw error;
        error.idempotencyKey = call.idempotencyKey;
        await sleep(patience.waitMs(error, performance.now()), signal);
      }
    }
  }
}

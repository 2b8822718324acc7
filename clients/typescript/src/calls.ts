// Every route as a value: what is asked, how its answer is read, and whether it may be repeated. Knows no
// connection and no clock.

import { known, renamed, span, write } from "./fields.js";
import { newMessage, payloadField, type NewMessage } from "./messages.js";
import type { ClaimedMessage, Message, State } from "./models.js";
import * as reading from "./reading.js";
import type { Reader } from "./reading.js";
import { milliseconds, segment, withoutUndefined, type Duration, type Fields, type Moment } from "./values.js";

/** The daemon waits no longer in one request. */
export const WAIT_MAX_MS = 60_000;
export const CLAIM_MAX = 1_000;
/** What ten thousand messages may take on a slow disk. */
const BATCH_MS = 60_000;

/** One request. */
export interface Call<T> {
  method: string;
  path: string;
  read: Reader<T>;
  body?: string;
  query?: readonly (readonly [string, string])[];
  headers?: Readonly<Record<string, string>>;
  /** Whether carrying it out twice is the same as once. */
  isRepeatable: boolean;
  /** How long the daemon was asked to wait before it answers. */
  answersAfterMs?: number;
  /** How long one try may take where the client was given no timeout, if that is longer than for others. */
  timeoutMs?: number;
  idempotencyKey?: string | undefined;
}

/** Which messages of a queue a list has; everything that is given must match. */
export interface Filter {
  state?: State | readonly State[];
  label?: Readonly<Record<string, string>>;
  group?: string;
  errorContains?: string;
  createdAfter?: Moment;
  createdBefore?: Moment;
  dueAfter?: Moment;
  dueBefore?: Moment;
  finalAfter?: Moment;
  finalBefore?: Moment;
  idempotencyKey?: string;
  view?: "basic" | "full";
}

/** What of a message that waits is changed. */
export interface Change {
  delay?: Duration;
  dueAt?: Moment;
  expiresAt?: Moment;
  priority?: number;
}

const CHANGE_NAMES = {
  delay: "delay",
  dueAt: "due_at",
  expiresAt: "expires_at",
  priority: "priority",
} as const satisfies Record<keyof Change, string>;

/** Those that are written as they are. */
const FILTER_NAMES = {
  group: "group",
  errorContains: "error_contains",
  createdAfter: "created_after",
  createdBefore: "created_before",
  dueAfter: "due_after",
  dueBefore: "due_before",
  finalAfter: "final_after",
  finalBefore: "final_before",
  idempotencyKey: "idempotency_key",
  view: "view",
} as const satisfies Record<Exclude<keyof Filter, "state" | "label">, string>;

/** Every name of a filter. */
export const FILTERS = ["state", "label", ...Object.keys(FILTER_NAMES)];

const queuePath = (name: string) => `/v1/queues/${segment(name, "the name of a queue")}`;
const messagePath = (id: string) => `/v1/messages/${segment(id, "the id of a message")}`;

function get<T>(path: string, read: Reader<T>, more: Partial<Call<T>> = {}): Call<T> {
  return { method: "GET", path, read, isRepeatable: true, ...more };
}

function post<T>(path: string, body: Fields, read: Reader<T>, more: Partial<Call<T>> = {}): Call<T> {
  return { method: "POST", path, read, body: write(withoutUndefined(body)), isRepeatable: true, ...more };
}

function handOver<T>(path: string, given: NewMessage, read: Reader<T>): Call<T> {
  const message = newMessage(given, "the message");
  const key = message.idempotencyKey;
  return { method: "POST", path, read, body: message.body(), isRepeatable: key !== undefined, idempotencyKey: key };
}

export const send = (queue: string, message: NewMessage) =>
  handOver(`${queuePath(queue)}/messages`, message, reading.message);

export const publish = (topic: string, message: NewMessage) =>
  handOver(`/v1/topics/${segment(topic, "the name of a topic")}/messages`, message, reading.published);

/** `items` are messages that are written already. */
export const sendBatch = (queue: string, items: readonly string[], isRepeatable: boolean) =>
  get(`${queuePath(queue)}/messages/batch`, reading.listOf("results", reading.batchResult), {
    method: "POST",
    body: `[${items.join(",")}]`,
    isRepeatable,
    timeoutMs: BATCH_MS,
  });

export function message(id: string, waitMs: number | undefined, view: "basic" | "full"): Call<Message> {
  const answersAfterMs = Math.min(span(waitMs, "waitMs", 0), WAIT_MAX_MS);
  const query: [string, string][] = view === "basic" ? [] : [["view", view]];
  if (answersAfterMs > 0) query.push(["wait", milliseconds(answersAfterMs)]);
  return get(messagePath(id), reading.message, { query, answersAfterMs });
}

export const attempts = (id: string) =>
  get(`${messagePath(id)}/attempts`, reading.listOf("attempts", reading.attempt));

export const cancel = (id: string) => get(messagePath(id), reading.message, { method: "DELETE" });

export function edit(id: string, change: Change, names: readonly string[] = Object.keys(CHANGE_NAMES)): Call<Message> {
  return post(messagePath(id), renamed(known(change, names), CHANGE_NAMES), reading.message, { method: "PATCH" });
}

export const reschedule = (id: string, when: Pick<Change, "delay" | "dueAt">) => edit(id, when, ["delay", "dueAt"]);

export const editPayload = (id: string, payload: unknown) =>
  get(messagePath(id), reading.message, { method: "PATCH", body: write(payloadField(payload)) });

/** A second one could send the message a second time. */
const once = { isRepeatable: false };

export const run = (id: string) => post(`${messagePath(id)}/run`, {}, reading.message, once);
export const requeue = (id: string) => post(`${messagePath(id)}/requeue`, {}, reading.message, once);
export const resolve = (id: string, as: string, reason: string | undefined) =>
  post(`${messagePath(id)}/resolve`, { as, reason }, reading.message, once);

export function page(queue: string, which: Filter, limit?: number, cursor?: string) {
  const query: [string, string][] = [];
  if (which.state !== undefined) query.push(["state", [which.state].flat().join(",")]);
  for (const [name, value] of Object.entries(which.label ?? {})) query.push(["label", `${name}=${value}`]);
  for (const [name, value] of Object.entries(renamed(which, FILTER_NAMES))) query.push([name, String(value)]);
  if (limit !== undefined) query.push(["limit", String(limit)]);
  if (cursor !== undefined) query.push(["cursor", cursor]);
  return get(`${queuePath(queue)}/messages`, reading.page, { query });
}

export const queues = () => get("/v1/queues", reading.listOf("queues", reading.queue));
export const queue = (name: string) => get(queuePath(name), reading.queue);

export const pause = (name: string, pause: { until?: Moment; for?: Duration; reason?: string }) =>
  post(
    `${queuePath(name)}/pause`,
    renamed(pause, { until: "until", for: "for", reason: "reason" }),
    reading.queue,
  );

export const resume = (name: string) => post(`${queuePath(name)}/resume`, {}, reading.queue);

export function claim(name: string, max: number, waitMs: number | undefined, lease: Duration | undefined) {
  const answersAfterMs = Math.min(span(waitMs, "waitMs", 0), WAIT_MAX_MS);
  return post(
    `${queuePath(name)}/claim`,
    { max, wait: milliseconds(answersAfterMs), lease },
    reading.listOf("messages", reading.claimed),
    // What a lost answer had is held until its lease ends; a second claim would hold still more.
    { isRepeatable: false, answersAfterMs },
  );
}

export const settle = (name: string, settlements: readonly Settlement[]) =>
  get(`${queuePath(name)}/settle`, reading.listOf("results", reading.verdict), {
    method: "POST",
    body: write(settlements),
  });

/** One item of `settle`. */
export interface Settlement {
  id: string;
  token: string;
  as: "delivered" | "retry" | "dead" | "release" | "renew";
  result?: unknown;
  detail?: string;
  delay?: Duration;
  lease?: Duration;
}

/** What is said of a claimed message. */
export function settlement(
  message: ClaimedMessage,
  as: Settlement["as"],
  more: Pick<Settlement, "result" | "detail" | "delay" | "lease"> = {},
): Settlement {
  return { id: message.id, token: message.token, as, ...known(more, ["result", "detail", "delay", "lease"]) };
}

/** A route that has no method of its own. */
export function anything(
  method: string,
  path: string,
  options: { json?: unknown; query?: Readonly<Record<string, string>>; idempotencyKey?: string },
): Call<unknown> {
  const isRead = ["GET", "HEAD"].includes(method.toUpperCase());
  const key = options.idempotencyKey;
  if (isRead && options.json !== undefined) throw new TypeError(`json cannot go with ${method}; give query`);
  if (key !== undefined && !/^[\x20-\x7e]+$/.test(key)) {
    throw new TypeError(
      `"${key}" cannot stand in a header; use printable ASCII, or give the key as idempotencyKey of a message`,
    );
  }
  return {
    method: method.toUpperCase(),
    path,
    read: (answer) => answer,
    ...(isRead ? {} : { body: write(options.json ?? {}) }),
    query: Object.entries(options.query ?? {}),
    headers: key === undefined ? {} : { "Idempotency-Key": key },
    isRepeatable: isRead || key !== undefined,
    idempotencyKey: key,
  };
}

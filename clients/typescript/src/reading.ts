// Makes models of what the API answers. An answer that lacks what it must have throws a `TypeError`.

import { isFields, problemError, type ProblemError } from "./errors.js";
import { FINAL_STATES } from "./models.js";
import type {
  Attempt,
  BatchResult,
  ClaimedMessage,
  Message,
  MessagePage,
  Published,
  Queue,
  Result,
  State,
  Verdict,
} from "./models.js";
import { bytesOfBase64, type Fields } from "./values.js";

export type Reader<T> = (answer: unknown) => T;

function fields(value: unknown, what: string): Fields {
  if (!isFields(value)) throw new TypeError(`${what} is not an object`);
  return value;
}

function text(it: Fields, name: string): string {
  const value = it[name];
  if (typeof value !== "string") throw new TypeError(`${name} is ${typeof value}, and not a text`);
  return value;
}

function textOrNull(it: Fields, name: string): string | null {
  return it[name] === undefined || it[name] === null ? null : text(it, name);
}

function number(it: Fields, name: string, otherwise?: number): number {
  const value = it[name] ?? otherwise;
  if (typeof value !== "number") throw new TypeError(`${name} is ${typeof value}, and not a number`);
  return value;
}

function numberOrNull(it: Fields, name: string): number | null {
  return it[name] === undefined || it[name] === null ? null : number(it, name);
}

export function date(it: Fields, name: string): Date {
  const at = new Date(text(it, name));
  if (Number.isNaN(at.getTime())) throw new TypeError(`${name} is not a time`);
  return at;
}

function dateOrNull(it: Fields, name: string): Date | null {
  return it[name] === undefined || it[name] === null ? null : date(it, name);
}

function texts(value: unknown, what: string): Record<string, string> {
  return fields(value ?? {}, what) as Record<string, string>;
}

function payload(it: Fields): unknown {
  return typeof it.payload_base64 === "string" ? bytesOfBase64(it.payload_base64) : it.payload;
}

function problem(it: Fields): ProblemError | undefined {
  if (!isFields(it.problem)) return undefined;
  return problemError(number(it.problem, "status", 0), it.problem);
}

/** An object whose one field is a list. */
export function listOf<T>(name: string, reader: Reader<T>): Reader<T[]> {
  return (answer) => {
    const list = fields(answer, "the answer")[name];
    if (!Array.isArray(list)) throw new TypeError(`${name} is not a list`);
    return list.map(reader);
  };
}

export function attempt(value: unknown): Attempt {
  const it = fields(value, "an attempt");
  return {
    attempt: number(it, "attempt"),
    startedAt: date(it, "started_at"),
    endedAt: date(it, "ended_at"),
    outcome: text(it, "outcome"),
    statusCode: numberOrNull(it, "status_code"),
    error: textOrNull(it, "error"),
  };
}

function result(value: unknown): Result {
  const it = fields(value, "the result");
  const body = typeof it.body_base64 === "string" ? bytesOfBase64(it.body_base64) : textOrNull(it, "body");
  return {
    statusCode: numberOrNull(it, "status_code"),
    contentType: textOrNull(it, "content_type"),
    body,
    by: textOrNull(it, "by") ?? undefined,
  };
}

export function message(value: unknown): Message {
  const it = fields(value, "a message");
  const state = text(it, "state") as State;
  return {
    id: text(it, "id"),
    queue: text(it, "queue"),
    state,
    isFinal: (FINAL_STATES as readonly State[]).includes(state),
    contentType: text(it, "content_type"),
    createdAt: date(it, "created_at"),
    dueAt: date(it, "due_at"),
    expiresAt: dateOrNull(it, "expires_at"),
    priority: number(it, "priority"),
    group: textOrNull(it, "group"),
    labels: texts(it.labels, "labels"),
    idempotencyKey: textOrNull(it, "idempotency_key"),
    cost: number(it, "cost", 1),
    attempts: number(it, "attempts"),
    throttles: number(it, "throttles", 0),
    windowHolds: number(it, "window_holds", 0),
    rescues: number(it, "rescues", 0),
    nextAttemptAt: dateOrNull(it, "next_attempt_at"),
    lastAttempt: isFields(it.last_attempt) ? attempt(it.last_attempt) : null,
    finalAt: dateOrNull(it, "final_at"),
    reason: textOrNull(it, "reason"),
    result: isFields(it.result) ? result(it.result) : null,
    heldBy: Array.isArray(it.held_by) ? it.held_by.map(String) : [],
    duplicate: it.duplicate === true,
    collapsed: it.collapsed === true,
    headers: it.headers === undefined ? undefined : texts(it.headers, "headers"),
    payload: payload(it),
    raw: it,
  };
}

export function page(value: unknown): MessagePage {
  const it = fields(value, "a page");
  return {
    messages: listOf("messages", message)(it),
    nextCursor: textOrNull(it, "next_cursor"),
    looked: number(it, "looked", 0),
    of: number(it, "of", 0),
  };
}

export function batchResult(value: unknown): BatchResult {
  const it = fields(value, "a result");
  return {
    index: number(it, "index"),
    id: textOrNull(it, "id") ?? undefined,
    dueAt: dateOrNull(it, "due_at") ?? undefined,
    duplicate: it.duplicate === true,
    collapsed: it.collapsed === true,
    problem: problem(it),
  };
}

export function published(value: unknown): Published {
  const it = fields(value, "an event");
  const each = (given: unknown) => {
    const one = fields(given, "a message");
    return { queue: text(one, "queue"), id: text(one, "id"), pending: one.pending === true };
  };
  return { id: text(it, "id"), duplicate: it.duplicate === true, messages: listOf("messages", each)(it) };
}

export function queue(value: unknown): Queue {
  const it = fields(value, "a queue");
  const sending = fields(it.sending, "sending");
  const paused = isFields(it.paused) ? it.paused : null;
  return {
    name: text(it, "name"),
    retired: it.retired === true,
    counts: fields(it.counts, "counts") as Record<State, number>,
    sending: {
      state: text(sending, "state"),
      reason: text(sending, "reason"),
      since: dateOrNull(sending, "since"),
      until: dateOrNull(sending, "until"),
    },
    oldestReadyAgeMs: numberOrNull(it, "oldest_ready_age_ms"),
    nextDueAt: dateOrNull(it, "next_due_at"),
    paused: paused && {
      until: dateOrNull(paused, "until"),
      reason: text(paused, "reason"),
      by: text(paused, "by"),
    },
    resumed: it.resumed === true,
    raw: it,
  };
}

export function claimed(value: unknown): ClaimedMessage {
  const it = fields(value, "a claimed message");
  return {
    id: text(it, "id"),
    token: text(it, "token"),
    attempt: number(it, "attempt"),
    contentType: text(it, "content_type"),
    leaseUntil: date(it, "lease_until"),
    dueAt: date(it, "due_at"),
    expiresAt: dateOrNull(it, "expires_at"),
    headers: texts(it.headers, "headers"),
    labels: texts(it.labels, "labels"),
    group: textOrNull(it, "group"),
    payload: payload(it),
    raw: it,
  };
}

export function verdict(value: unknown): Verdict {
  const it = fields(value, "a verdict");
  return {
    verdict: text(it, "verdict") as Verdict["verdict"],
    id: textOrNull(it, "id"),
    problem: problem(it),
  };
}

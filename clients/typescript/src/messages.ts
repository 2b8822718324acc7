// A message on its way in: its fields, in one place for `send`, `sendMany` and `publish`.

import type { FinalState } from "./models.js";
import { base64, moment, uuid, withoutUndefined, type Duration, type Fields, type Moment } from "./values.js";

/** Where a callback goes, and for which final states one is sent. */
export interface Callback {
  url?: string;
  on?: readonly FinalState[];
}

/** What a message changes in the retry policy of its queue. */
export interface RetryPolicy {
  maxAttempts?: number;
  initial?: Duration;
  factor?: number;
  max?: Duration;
  jitter?: number;
  maxAge?: Duration;
  schedule?: readonly Duration[];
}

/** Every field of a message except its payload; docs/http.md of Tidegate says what each does. */
export interface MessageFields {
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
  delay?: Duration;
  dueAt?: Moment;
  ttl?: Duration;
  expiresAt?: Moment;
  mustDispatchBy?: Moment;
  priority?: number;
  group?: string;
  labels?: Readonly<Record<string, string>>;
  /** Null leaves it out; such a message is not repeated where it may have arrived. */
  idempotencyKey?: string | null;
  retry?: RetryPolicy;
  timeout?: Duration;
  cost?: number;
  collapseKey?: string;
  timeZone?: string;
  recipientHours?: "ignore";
  callback?: Callback;
  url?: string;
  method?: string;
}

/**
 * A message that is to be sent. It gets an idempotency key when it is made, unless it is given one. So the
 * same object may be sent again after any error, and one message is taken.
 */
export class NewMessage {
  readonly payload: unknown;
  readonly fields: MessageFields;

  constructor(payload: unknown, fields: MessageFields = {}) {
    const key = fields.idempotencyKey === undefined ? uuid() : fields.idempotencyKey;
    this.payload = payload;
    this.fields = { ...fields, idempotencyKey: key };
  }

  /** The key by which a repeat is recognised. */
  get idempotencyKey(): string | undefined {
    return this.fields.idempotencyKey ?? undefined;
  }

  /** The message as the API takes it. */
  body(): string {
    const it = this.fields;
    const retry = it.retry && {
      max_attempts: it.retry.maxAttempts,
      initial: it.retry.initial,
      factor: it.retry.factor,
      max: it.retry.max,
      jitter: it.retry.jitter,
      max_age: it.retry.maxAge,
      schedule: it.retry.schedule,
    };
    const fields = withoutUndefined({
      content_type: it.contentType,
      headers: it.headers,
      delay: it.delay,
      due_at: it.dueAt && moment(it.dueAt),
      ttl: it.ttl,
      expires_at: it.expiresAt && moment(it.expiresAt),
      must_dispatch_by: it.mustDispatchBy && moment(it.mustDispatchBy),
      priority: it.priority,
      group: it.group,
      labels: it.labels,
      idempotency_key: it.idempotencyKey,
      retry,
      timeout: it.timeout,
      cost: it.cost,
      collapse_key: it.collapseKey,
      time_zone: it.timeZone,
      recipient_hours: it.recipientHours,
      callback: it.callback,
      url: it.url,
      method: it.method,
    });
    return JSON.stringify({ ...payloadField(this.payload), ...fields });
  }
}

/** A payload as a field: bytes as base64, everything else as JSON. */
export function payloadField(payload: unknown): Fields {
  if (payload instanceof Uint8Array) return { payload_base64: base64(payload) };
  if (payload instanceof ArrayBuffer) return { payload_base64: base64(new Uint8Array(payload)) };
  if (payload === undefined || typeof payload === "function" || typeof payload === "symbol") {
    throw new TypeError(`the payload is ${typeof payload}, which JSON cannot express; give null for nothing`);
  }
  return { payload };
}

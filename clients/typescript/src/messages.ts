// A message on its way in: its fields, in one place for `send`, `sendMany` and `publish`.

import { known, renamed, shown, write } from "./fields.js";
import type { FinalState } from "./models.js";
import { base64, uuid, type Duration, type Fields, type Moment } from "./values.js";

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

/** Each field, and its name in the API. */
const FIELD_NAMES = {
  contentType: "content_type",
  headers: "headers",
  delay: "delay",
  dueAt: "due_at",
  ttl: "ttl",
  expiresAt: "expires_at",
  mustDispatchBy: "must_dispatch_by",
  priority: "priority",
  group: "group",
  labels: "labels",
  idempotencyKey: "idempotency_key",
  retry: "retry",
  timeout: "timeout",
  cost: "cost",
  collapseKey: "collapse_key",
  timeZone: "time_zone",
  recipientHours: "recipient_hours",
  callback: "callback",
  url: "url",
  method: "method",
} as const satisfies Record<keyof MessageFields, string>;

const RETRY_NAMES = {
  maxAttempts: "max_attempts",
  initial: "initial",
  factor: "factor",
  max: "max",
  jitter: "jitter",
  maxAge: "max_age",
  schedule: "schedule",
} as const satisfies Record<keyof RetryPolicy, string>;

const CALLBACK_NAMES = { url: "url", on: "on" } as const satisfies Record<keyof Callback, string>;

/**
 * A message that is to be sent. It gets an idempotency key when it is made, unless it is given one. So the
 * same object may be sent again after any error, and one message is taken.
 */
export class NewMessage {
  readonly payload: unknown;
  readonly fields: MessageFields;

  constructor(payload: unknown, fields: MessageFields = {}) {
    known(fields, Object.keys(FIELD_NAMES));
    if (fields.retry) known(fields.retry, Object.keys(RETRY_NAMES), "retry");
    if (fields.callback) known(fields.callback, Object.keys(CALLBACK_NAMES), "callback");
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
    const { retry } = this.fields;
    const fields = renamed({ ...this.fields, retry: retry && renamed(retry, RETRY_NAMES) }, FIELD_NAMES);
    return write({ ...payloadField(this.payload), ...fields });
  }
}

/** The message; throws where something else was given, such as a payload by itself. */
export function newMessage(given: unknown, what: string): NewMessage {
  if (given instanceof NewMessage) return given;
  throw new TypeError(`${what} is ${shown(given)}; give new NewMessage(payload, fields)`);
}

/** A payload as a field: bytes as base64, everything else as JSON. */
export function payloadField(payload: unknown): Fields {
  if (payload instanceof Uint8Array) return { payload_base64: base64(payload) };
  if (payload instanceof ArrayBuffer) return { payload_base64: base64(new Uint8Array(payload)) };
  if (payload === undefined) throw new TypeError("the payload is undefined; give null for nothing");
  return { payload };
}

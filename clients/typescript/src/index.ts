// The client of Tidegate, a daemon between fast producers and slow downstreams.

export { settlement, type Change, type Filter, type Settlement } from "./calls.js";
export { Tidegate, type Abortable } from "./client.js";
export * from "./errors.js";
export type { Options } from "./exchange.js";
export { NewMessage, type Callback, type MessageFields, type RetryPolicy } from "./messages.js";
export * from "./models.js";
export type { Repeats } from "./repeats.js";
export type { TailOptions } from "./tail.js";
export type { Duration, Moment } from "./values.js";
export { Webhook, type HeadersOfCall, type VerifiedCall } from "./webhooks.js";
export { Dead, Release, Retry, Worker, type Handler, type WorkerOptions } from "./worker.js";

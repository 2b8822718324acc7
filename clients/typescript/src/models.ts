// What the API answers, and what its event stream says. Fields that have no name here are in `raw`.

import type { ProblemError } from "./errors.js";
import type { Fields } from "./values.js";

export type FinalState = "delivered" | "dead" | "expired" | "cancelled";
export type State = FinalState | "scheduled" | "ready" | "leased" | "uncertain" | "accepted";

export const FINAL_STATES: readonly FinalState[] = ["delivered", "dead", "expired", "cancelled"];

/** One try to deliver a message. */
export interface Attempt {
  attempt: number;
  startedAt: Date;
  endedAt: Date;
  outcome: string;
  statusCode: number | null;
  error: string | null;
}

/** What the downstream answered in the end. */
export interface Result {
  statusCode: number | null;
  contentType: string | null;
  body: string | Uint8Array | null;
  by: string | undefined;
}

/** A message as it is now. */
export interface Message {
  id: string;
  queue: string;
  state: State;
  /** Whether nothing more happens to it by itself. */
  isFinal: boolean;
  contentType: string;
  createdAt: Date;
  dueAt: Date;
  expiresAt: Date | null;
  priority: number;
  group: string | null;
  labels: Record<string, string>;
  idempotencyKey: string | null;
  cost: number;
  attempts: number;
  throttles: number;
  windowHolds: number;
  rescues: number;
  nextAttemptAt: Date | null;
  lastAttempt: Attempt | null;
  finalAt: Date | null;
  reason: string | null;
  result: Result | null;
  heldBy: string[];
  duplicate: boolean;
  collapsed: boolean;
  /** With `view: "full"`. */
  headers: Record<string, string> | undefined;
  /** With `view: "full"`, while it is kept; a `Uint8Array` if it was sent as bytes. */
  payload: unknown;
  raw: Fields;
}

/** One page of a list. */
export interface MessagePage {
  messages: Message[];
  nextCursor: string | null;
  looked: number;
  of: number;
}

/** What became of one message of a batch: it has an id, or a problem. */
export interface BatchResult {
  index: number;
  id: string | undefined;
  dueAt: Date | undefined;
  duplicate: boolean;
  collapsed: boolean;
  problem: ProblemError | undefined;
}

/** The results of `sendMany`, in the order of the messages. */
export interface BatchResults {
  results: BatchResult[];
  accepted: BatchResult[];
  rejected: BatchResult[];
}

/** An event that a topic has taken, with the message that each queue has of it. */
export interface Published {
  id: string;
  duplicate: boolean;
  messages: { queue: string; id: string; pending: boolean }[];
}

/** A queue as it is now. `raw` also has its policy, limits, window, gate and rate. */
export interface Queue {
  name: string;
  retired: boolean;
  counts: Record<State, number>;
  /** Whether it sends now, and if not, why. */
  sending: { state: string; reason: string; since: Date | null; until: Date | null };
  oldestReadyAgeMs: number | null;
  nextDueAt: Date | null;
  paused: { until: Date | null; reason: string; by: string } | null;
  resumed: boolean;
  raw: Fields;
}

/** A message that this worker holds until `leaseUntil`. */
export interface ClaimedMessage {
  id: string;
  token: string;
  attempt: number;
  contentType: string;
  leaseUntil: Date;
  dueAt: Date;
  expiresAt: Date | null;
  headers: Record<string, string>;
  labels: Record<string, string>;
  group: string | null;
  /** Any JSON, or a `Uint8Array` if it was sent as bytes. */
  payload: unknown;
  raw: Fields;
}

/** What became of one settlement. */
export interface Verdict {
  verdict: "ok" | "already" | "stale" | "gone" | "invalid";
  id: string | null;
  problem: ProblemError | undefined;
}

/** One change; `ready` says that the stream is open, also after each new connection. */
export type Event =
  | { kind: "ready" }
  | { kind: "message"; eventId: string; id: string; queue: string; state: State; at: Date }
  | { kind: "queue"; eventId: string; queue: string; change: string; at: Date }
  /** Changes may be missing here; read the queues again. */
  | { kind: "gap"; detail: string };

// Whether a request is repeated, and when. Pure: the callers have the clock and the connection.
//
// A request that changes something twice if it is carried out twice is repeated only if it surely was not
// carried out: no connection, 429, or a 503 that says so.

import {
  ConnectionFailed,
  Draining,
  ProblemError,
  StoreFull,
  TooManyRequests,
  UnexpectedAnswer,
  type TidegateError,
} from "./errors.js";

/** How long, and how fast, requests are repeated. */
export interface Repeats {
  /** How long after its first failure a request is given up; 0 repeats nothing. */
  deadlineMs: number;
  /** The wait after the first failure. It doubles with each further one. */
  initialMs: number;
  /** The longest wait, unless the daemon names a longer one in Retry-After. */
  waitMaxMs: number;
}

export const DEFAULT_REPEATS: Repeats = { deadlineMs: 30_000, initialMs: 200, waitMaxMs: 5_000 };

/** 502 and 504 are what a proxy says while the daemon behind it starts again. */
const GATEWAY_STATUSES = [502, 503, 504];
const JITTER = 0.2;

/** The failures of one request in a row. */
export class Patience {
  private failures = 0;
  private firstFailureMs = 0;

  constructor(
    private readonly repeats: Repeats,
    /** Whether carrying it out twice is the same as once. */
    private readonly isRepeatable = true,
    private readonly chance: () => number = Math.random,
  ) {}

  /** Forgets the failures. */
  succeeded(): void {
    this.failures = 0;
  }

  /** How long to wait before the next try; throws the error if there is none. */
  waitMs(error: TidegateError, nowMs: number): number {
    if (!this.isWorthARepeat(error)) throw error;
    if (this.failures === 0) this.firstFailureMs = nowMs;
    this.failures += 1;
    const waitMs = this.backoffMs(error instanceof ProblemError ? error.retryAfterMs : undefined);
    if (nowMs + waitMs - this.firstFailureMs > this.repeats.deadlineMs) throw error;
    return waitMs;
  }

  private isWorthARepeat(error: TidegateError): boolean {
    if (error instanceof TooManyRequests || error instanceof Draining || error instanceof StoreFull) return true;
    if (error instanceof ConnectionFailed) return this.isRepeatable || !error.mayHaveArrived;
    const hasStatus = error instanceof ProblemError || error instanceof UnexpectedAnswer;
    return this.isRepeatable && hasStatus && GATEWAY_STATUSES.includes(error.status);
  }

  /** Jitter, so that clients that failed together do not come back together. */
  private backoffMs(retryAfterMs: number | undefined): number {
    // Never before the moment that the daemon named.
    if (retryAfterMs !== undefined) return retryAfterMs + this.chance() * Math.min(retryAfterMs * JITTER, 1_000);
    const doubled = this.repeats.initialMs * 2 ** Math.min(this.failures - 1, 30);
    return Math.min(doubled, this.repeats.waitMaxMs) * (1 - 0.5 * this.chance());
  }
}

/** Reads Retry-After: seconds or a date. */
export function retryAfterMs(header: string | null, nowMs = Date.now()): number | undefined {
  const text = header?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const atMs = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(atMs - nowMs, 0);
}

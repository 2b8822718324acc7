// Every error that the client throws, and how an answer becomes one.
//
// There is a class for each code of a problem (RFC 9457); the classes of one status have a common base, so
// that a caller may catch `Unavailable` as well as `StoreFull`.

import type { BatchResult, Message } from "./models.js";
import type { Fields } from "./values.js";

/** The base of all errors of this package. */
export class TidegateError extends Error {
  /** The key of the message that was to be sent: sending it again with this key takes one message. */
  idempotencyKey: string | undefined;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The daemon was not reached, or its answer did not arrive. */
export class ConnectionFailed extends TidegateError {
  /** False: the daemon has surely not received the request. */
  readonly mayHaveArrived: boolean;

  constructor(message: string, mayHaveArrived: boolean, options?: ErrorOptions) {
    super(message, options);
    this.mayHaveArrived = mayHaveArrived;
  }
}

/** An answer that is not one of Tidegate, such as the page of a proxy. */
export class UnexpectedAnswer extends TidegateError {
  readonly status: number;
  readonly body: string;

  constructor(message: string, status: number, body = "", options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.body = body;
  }
}

/** The message was not final in the time that `waitUntilFinal` was given. */
export class NotFinal extends TidegateError {
  readonly shown: Message;

  constructor(shown: Message, timeoutMs: number) {
    const held = shown.heldBy.length > 0 ? `, held by ${shown.heldBy.join(", ")}` : "";
    super(
      `${shown.id} is ${shown.state}${held}, and was not final within ${timeoutMs} ms; ` +
        `\`tidegate explain ${shown.id}\` says why it waits`,
    );
    this.shown = shown;
  }
}

/**
 * A request of `sendMany` failed; `cause` says why. Some of its messages may have been taken. Sending the same
 * `NewMessage` objects again takes each message once, because each has its key.
 */
export class BatchInterrupted extends TidegateError {
  /** The results of the messages that were answered before, in their order; there may be none. */
  readonly results: BatchResult[];

  constructor(results: BatchResult[], cause: TidegateError) {
    super(
      `sendMany broke off after ${results.length} answered messages: ${cause.message}; when that is mended, send ` +
        "the same NewMessage objects again: none that has an idempotency key is taken twice",
      { cause },
    );
    this.results = results;
  }
}

/** A call that was not signed with any of the secrets, or too long ago. */
export class InvalidSignature extends TidegateError {}

/** One fault in a request; `pointer` is a JSON pointer to the field, and empty for the whole body. */
export interface Fault {
  readonly pointer: string;
  readonly detail: string;
}

/** The daemon refused the request. The fields are those of the problem (RFC 9457). */
export class ProblemError extends TidegateError {
  readonly status: number;
  readonly code: string | undefined;
  readonly title: string;
  readonly detail: string;
  /** The state that did not allow the request (409). */
  readonly state: string | undefined;
  readonly errors: readonly Fault[];
  /** When to try again (429 and 503). */
  readonly retryAfterMs: number | undefined;
  /** The problem as it came, with the fields that have no name here. */
  readonly problem: Fields;

  constructor(status: number, problem: Fields, retryAfterMs?: number) {
    const code = text(problem, "code");
    const title = text(problem, "title") ?? "";
    const detail = text(problem, "detail") ?? (title || `the answer has the status ${status}`);
    const errors = faults(problem.errors);
    // The detail often is that of the first fault.
    const said = errors.some((fault) => fault.detail === detail) ? [] : [detail];
    const pointed = errors.map((fault) => `${fault.pointer || "the body"}: ${fault.detail}`);
    super(`${status} ${code ?? "without a code"}: ${[...said, ...pointed].join("; ")}`);
    this.status = status;
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
    this.state = text(problem, "state");
    const stated = problem.retry_after_s;
    this.retryAfterMs = retryAfterMs ?? (typeof stated === "number" ? stated * 1000 : undefined);
    this.problem = problem;
  }

  /** The field that the first fault is about. */
  get pointer(): string | undefined {
    return this.errors[0]?.pointer;
  }
}

export class InvalidRequest extends ProblemError {}
export class Unauthorized extends ProblemError {}
export class Forbidden extends ProblemError {}
export class NotFound extends ProblemError {}
export class MethodNotAllowed extends ProblemError {}
export class RequestTimeout extends ProblemError {}
export class WrongState extends ProblemError {}
export class TooLarge extends ProblemError {}
export class UnsupportedMediaType extends ProblemError {}
/** 422: the request can be read, and cannot be carried out as it is. */
export class Unprocessable extends ProblemError {}
export class IdempotencyMismatch extends Unprocessable {}
export class CostTooLarge extends Unprocessable {}
export class WindowMissed extends Unprocessable {}
export class HeadersTooLarge extends ProblemError {}
/** 429: refused for now; nothing was done. */
export class TooManyRequests extends ProblemError {}
export class BacklogFull extends TooManyRequests {}
export class TooManyListeners extends TooManyRequests {}
export class Internal extends ProblemError {}
/** 503: not now. */
export class Unavailable extends ProblemError {}
/** It is unknown whether the request was carried out: repeat it with the same key. */
export class StoreUnavailable extends Unavailable {}
export class StoreFull extends Unavailable {}
export class Draining extends Unavailable {}

/** The class of each code. */
const BY_CODE: Readonly<Record<string, typeof ProblemError>> = {
  "invalid-request": InvalidRequest,
  unauthorized: Unauthorized,
  forbidden: Forbidden,
  "not-found": NotFound,
  "method-not-allowed": MethodNotAllowed,
  "request-timeout": RequestTimeout,
  "wrong-state": WrongState,
  "too-large": TooLarge,
  "unsupported-media-type": UnsupportedMediaType,
  "idempotency-mismatch": IdempotencyMismatch,
  "cost-too-large": CostTooLarge,
  "window-missed": WindowMissed,
  "headers-too-large": HeadersTooLarge,
  "backlog-full": BacklogFull,
  "too-many-listeners": TooManyListeners,
  internal: Internal,
  "store-unavailable": StoreUnavailable,
  "store-full": StoreFull,
  draining: Draining,
};

const BY_STATUS: Readonly<Record<number, typeof ProblemError>> = {
  400: InvalidRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  405: MethodNotAllowed,
  408: RequestTimeout,
  409: WrongState,
  413: TooLarge,
  415: UnsupportedMediaType,
  422: Unprocessable,
  429: TooManyRequests,
  431: HeadersTooLarge,
  500: Internal,
  503: Unavailable,
};

/** The error of a problem: by its code, else by its status. */
export function problemError(status: number, problem: Fields, retryAfterMs?: number): ProblemError {
  const code = text(problem, "code") ?? "";
  const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : BY_STATUS[status];
  return new (known ?? ProblemError)(status, problem, retryAfterMs);
}

/** The error of an answer that is not a success. */
export function errorOfAnswer(status: number, body: string, retryAfterMs?: number): TidegateError {
  let problem: unknown;
  try {
    problem = JSON.parse(body);
  } catch {
    problem = undefined;
  }
  if (isFields(problem)) return problemError(status, problem, retryAfterMs);
  if (BY_STATUS[status] !== undefined) {
    const said = body.slice(0, 200).trim() || "it is empty";
    const detail = `the answer is not one of Tidegate, perhaps of a proxy before it: ${said}`;
    return problemError(status, { detail }, retryAfterMs);
  }
  return new UnexpectedAnswer(
    `the answer has the status ${status} and is not one of Tidegate; look whether the url is that of its API`,
    status,
    body,
  );
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(problem: Fields, name: string): string | undefined {
  const value = problem[name];
  return typeof value === "string" ? value : undefined;
}

function faults(given: unknown): Fault[] {
  const list = Array.isArray(given) ? given.filter(isFields) : [];
  return list.map((it) => ({ pointer: String(it.pointer ?? ""), detail: String(it.detail ?? "") }));
}

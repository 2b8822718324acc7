// A worker: claims messages of a queue with `type = "pull"`, does them, and stops when it is told to.
// `settling` renews the leases and reports what became of the messages.

import * as calls from "./calls.js";
import type { Settlement } from "./calls.js";
import { Tidegate } from "./client.js";
import { ProblemError, TidegateError, TooManyRequests, Unavailable } from "./errors.js";
import { known, span } from "./fields.js";
import type { ClaimedMessage } from "./models.js";
import { leaseText, Settling, type Held } from "./settling.js";
import { sleep, withoutUndefined, type Duration } from "./values.js";

const DETAIL_BYTES_MAX = 1_000;
/** The wait after a claim that failed, beside the repeats of the client. */
const BREATH_MS = 1_000;
/** How long a handler may take to hear that it was aborted. */
const ABORT_MS = 1_000;

/** Thrown by a handler: try the message again, after `delay` or as its queue says. */
export class Retry extends Error {
  readonly delay: Duration | undefined;

  constructor(detail = "", options: { delay?: Duration } = {}) {
    super(detail);
    this.delay = known(options, ["delay"]).delay;
  }
}

/** Thrown by a handler: the message will never succeed. */
export class Dead extends Error {}

/** Thrown by a handler: the work was not begun; give the message back, without an attempt. */
export class Release extends Error {}

/**
 * Does one message. What it returns is kept as the result of the message if it can be written as JSON. If it throws `Retry`, `Dead` or
 * `Release`, that is done; anything else is a retry. `signal` is aborted if another worker has the message
 * now, or this worker is to end and has waited long enough.
 */
export type Handler = (message: ClaimedMessage, context: { signal: AbortSignal }) => unknown;

export interface WorkerOptions {
  /** How many messages at a time; default 1. */
  concurrency?: number;
  /** Renewed while the handler works; default 60,000. */
  leaseMs?: number;
  /** How long one claim waits for messages; default 20,000. */
  waitMs?: number;
  /** How long handlers may go on after `stop`; default 30,000. */
  drainMs?: number;
  /** Whether SIGTERM and SIGINT stop it, where there are signals; default true. */
  signals?: boolean;
  /** Gets what went wrong and is not thrown; default `console.warn`. */
  log?: (words: string) => void;
}

interface Process {
  on(signal: string, listener: () => void): void;
  off(signal: string, listener: () => void): void;
}

/** Does the messages of one queue until `stop`, SIGTERM or SIGINT. */
export class Worker {
  private readonly client: Tidegate;
  private readonly options: Required<WorkerOptions>;
  private readonly stopping = new AbortController();
  private readonly hurried = new AbortController();
  private readonly tasks = new Set<Promise<void>>();
  private stops = 0;
  private wake: () => void = () => undefined;

  constructor(
    client: Tidegate,
    private readonly queue: string,
    private readonly handler: Handler,
    options: WorkerOptions = {},
  ) {
    const log = (words: string) => console.warn(words);
    const defaults = { concurrency: 1, leaseMs: 60_000, waitMs: 20_000, drainMs: 30_000, signals: true, log };
    const given = { ...defaults, ...withoutUndefined({ ...known(options, Object.keys(defaults)) }) };
    this.options = { ...given, waitMs: span(given.waitMs, "waitMs"), drainMs: span(given.drainMs, "drainMs") };
    const { concurrency, leaseMs } = this.options;
    if (!(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= calls.CLAIM_MAX)) {
      throw new RangeError(`concurrency is ${concurrency}; give a whole number from 1 to ${calls.CLAIM_MAX}`);
    }
    if (!(leaseMs >= 1_000)) throw new RangeError(`leaseMs is ${leaseMs}; give at least 1000`);
    const { repeats } = client.settings;
    // What is done is reported as long as it may still count.
    const patient = {
      ...repeats,
      deadlineMs: Math.max(repeats.deadlineMs, leaseMs),
      waitMaxMs: Math.min(repeats.waitMaxMs, leaseMs / 6),
    };
    this.client = new Tidegate({ ...client.settings, repeats: patient });
  }

  /** Claims no more; `run` resolves when the handlers have ended. The second time it does not wait for them. */
  stop(): void {
    this.stops += 1;
    this.stopping.abort();
    this.wake();
    if (this.stops > 1) this.hurried.abort();
  }

  /** Works until it is stopped; rejects if the queue cannot be claimed from. */
  async run(): Promise<void> {
    const { leaseMs, drainMs, log } = this.options;
    const settling = new Settling(this.client, this.queue, leaseMs, log);
    const stop = () => this.stop();
    const process = (globalThis as { process?: Process }).process;
    const heard = this.options.signals && typeof process?.on === "function" ? ["SIGTERM", "SIGINT"] : [];
    for (const signal of heard) process?.on(signal, stop);
    try {
      await this.claimAll(settling);
    } finally {
      await this.drain(settling);
      await settling.end(Math.max(drainMs, 1_000));
      for (const signal of heard) process?.off(signal, stop);
    }
  }

  private async claimAll(settling: Settling): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const free = this.options.concurrency - this.tasks.size;
      try {
        if (free === 0) {
          await this.changed();
          continue;
        }
        // A claim that is dropped costs no attempt.
        const lease = leaseText(this.options.leaseMs);
        const claimed = await this.client.claim(this.queue, { max: free, waitMs: this.options.waitMs, lease, signal });
        for (const message of claimed) this.take(settling, message);
      } catch (error) {
        if (signal.aborted) return;
        if (!isPassing(error)) throw error;
        this.options.log(`no messages could be claimed from ${this.queue}: ${error.message}`);
        await sleep(BREATH_MS, signal).catch(() => undefined);
      }
    }
  }

  /** Until a handler has ended, or `stop`. */
  private changed(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }

  private take(settling: Settling, message: ClaimedMessage): void {
    const held: Held = { message, abort: new AbortController(), isLost: false };
    settling.held.set(message.token, held);
    if (this.stopping.signal.aborted) {
      settling.say(held, calls.settlement(message, "release"));
      return;
    }
    const task = this.work(held).then((said) => {
      this.tasks.delete(task);
      settling.say(held, said);
      this.wake();
    });
    this.tasks.add(task);
  }

  private async work({ message, abort }: Held): Promise<Settlement> {
    try {
      const result = await this.handler(message, { signal: abort.signal });
      return calls.settlement(message, "delivered", result === undefined || result === null ? {} : { result });
    } catch (error) {
      if (error instanceof Release) return calls.settlement(message, "release");
      if (error instanceof Dead) return calls.settlement(message, "dead", detailOf(error.message));
      if (error instanceof Retry) {
        const delay = error.delay === undefined ? {} : { delay: error.delay };
        return calls.settlement(message, "retry", { ...detailOf(error.message), ...delay });
      }
      if (!abort.signal.aborted) {
        const said = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.options.log(`the handler of ${message.id} failed; the message is tried again: ${said}`);
      }
      return calls.settlement(message, "retry", detailOf(String(error)));
    }
  }

  /** A handler that does not end keeps its lease to the end of it. */
  private async drain(settling: Settling): Promise<void> {
    const tasks = () => Promise.all(this.tasks).then(() => undefined);
    const timer = new AbortController();
    const late = () => sleep(this.options.drainMs, timer.signal).catch(() => undefined);
    if (this.tasks.size > 0) await Promise.race([tasks(), late(), aborted(this.hurried.signal)]);
    timer.abort();
    if (this.tasks.size === 0) return;
    for (const held of settling.held.values()) {
      held.abort.abort(new Error("the worker was stopped while it had the message"));
    }
    const heard = new AbortController();
    await Promise.race([tasks(), sleep(ABORT_MS, heard.signal).catch(() => undefined)]);
    heard.abort();
  }
}

function isPassing(error: unknown): error is TidegateError {
  if (error instanceof ProblemError) return error instanceof TooManyRequests || error instanceof Unavailable;
  return error instanceof TidegateError;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function detailOf(said: string): { detail?: string } {
  // Without halves of surrogate pairs, which UTF-8 cannot express and the daemon refuses.
  const bytes = new TextEncoder().encode(said);
  let end = Math.min(bytes.length, DETAIL_BYTES_MAX);
  // Not in the middle of a character.
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  const detail = new TextDecoder().decode(bytes.subarray(0, end));
  return detail === "" ? {} : { detail };
}

// What a worker says of the messages that it has: one loop renews their leases, one settles them.

import * as calls from "./calls.js";
import type { Settlement } from "./calls.js";
import type { Tidegate } from "./client.js";
import { ProblemError, TidegateError } from "./errors.js";
import { write } from "./fields.js";
import type { ClaimedMessage, Verdict } from "./models.js";

const SETTLED_AT_ONCE = 100;

/** A message that this worker has, until its settlement was answered. */
export interface Held {
  message: ClaimedMessage;
  /** Aborted if another worker has it, or this one is to end. */
  abort: AbortController;
  isLost: boolean;
}

export class Settling {
  readonly held = new Map<string, Held>();
  private readonly outbox: { held: Held; said: Settlement }[] = [];
  private sending: Promise<void> = Promise.resolve();
  private isSending = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hasEnded = false;

  constructor(
    private readonly client: Tidegate,
    private readonly queue: string,
    private readonly leaseMs: number,
    private readonly log: (words: string) => void,
  ) {
    this.renewSoon();
  }

  /** Settles a message, unless another worker has it. */
  say(held: Held, said: Settlement): void {
    if (held.isLost) {
      this.held.delete(held.message.token);
      return;
    }
    this.outbox.push({ held, said: this.sendable(said) });
    if (!this.isSending) this.sending = this.settleAll();
  }

  /** Resolves when everything was said, or after a time. */
  async end(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([this.sending, late]);
    clearTimeout(timer);
    this.hasEnded = true;
    clearTimeout(this.timer);
  }

  private async settleAll(): Promise<void> {
    this.isSending = true;
    while (this.outbox.length > 0) await this.settle(this.outbox.splice(0, SETTLED_AT_ONCE));
    this.isSending = false;
  }

  private async settle(items: { held: Held; said: Settlement }[]): Promise<void> {
    try {
      const verdicts = await this.client.settle(this.queue, items.map((item) => item.said));
      items.forEach(({ said }, at) => this.report(said, verdicts[at]));
    } catch (error) {
      const isRefused = error instanceof ProblemError && [400, 413].includes(error.status);
      const [only] = items;
      if (isRefused && items.length > 1) {
        for (const item of items) await this.settle([item]);
        return;
      }
      if (isRefused && only !== undefined && "result" in only.said) {
        const { result: _, ...said } = only.said;
        this.log(`the result of ${said.id} is not kept, since it is refused: ${error.message}`);
        return this.settle([{ held: only.held, said }]);
      }
      const why = (error as Error).message;
      this.log(`${items.length} messages could not be settled, and will be handed out again: ${why}`);
    }
    for (const { held } of items) this.held.delete(held.message.token);
  }

  private report(said: Settlement, verdict: Verdict | undefined): void {
    if (verdict?.verdict === "invalid") {
      this.log(`${said.id} could not be settled as ${said.as}: ${verdict.problem?.message}`);
    } else if (verdict?.verdict === "stale" || verdict?.verdict === "gone") {
      this.log(`${said.id} was settled as ${said.as} too late: ${verdict.verdict}`);
    }
  }

  private renewSoon(): void {
    this.timer = setTimeout(() => {
      void this.renew().finally(() => {
        if (!this.hasEnded) this.renewSoon();
      });
    }, this.leaseMs / 3);
  }

  private async renew(): Promise<void> {
    const held = [...this.held.values()].filter((each) => !each.isLost);
    for (let at = 0; at < held.length; at += calls.CLAIM_MAX) {
      const some = held.slice(at, at + calls.CLAIM_MAX);
      const lease = leaseText(this.leaseMs);
      try {
        const items = some.map((each) => calls.settlement(each.message, "renew", { lease }));
        const verdicts = await this.client.settle(this.queue, items);
        some.forEach((each, index) => this.renewed(each, verdicts[index]));
      } catch (error) {
        if (!(error instanceof TidegateError)) throw error;
        this.log(`${some.length} leases could not be renewed: ${error.message}`);
      }
    }
  }

  private renewed(held: Held, verdict: Verdict | undefined): void {
    const isLost = verdict?.verdict === "stale" || verdict?.verdict === "gone";
    if (!isLost || !this.held.has(held.message.token)) return;
    held.isLost = true;
    const why = `${held.message.id} is ${verdict.verdict}: another worker has it now, or it is final`;
    this.log(why);
    held.abort.abort(new Error(why));
  }

  /** Without a result that JSON cannot express: the work is done all the same. */
  private sendable(said: Settlement): Settlement {
    try {
      write(said);
      return said;
    } catch (error) {
      const { result: _, ...rest } = said;
      this.log(`the result of ${said.id} is not kept, since it cannot be written as JSON: ${(error as Error).message}`);
      return rest;
    }
  }
}

/** A lease as the API takes it. */
export function leaseText(leaseMs: number): string {
  return `${Math.round(leaseMs)}ms`;
}

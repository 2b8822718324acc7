// The stream of events: its lines, its ids, and its connections.

import { ConnectionFailed, errorOfAnswer, isFields, TidegateError, UnexpectedAnswer } from "./errors.js";
import { connectionFailed, headersOf, Limit, type Settings } from "./exchange.js";
import type { Event, State } from "./models.js";
import { date } from "./reading.js";
import { Patience, retryAfterMs } from "./repeats.js";
import { sleep, type Fields } from "./values.js";

/** The daemon sends a comment every 15 s; after so long a silence the connection is dead. */
const SILENCE_MAX_MS = 45_000;
const LINE_CHARS_MAX = 1024 * 1024;

export interface TailOptions {
  queues?: readonly string[];
  states?: readonly State[];
  /** An id of an event; what came after it is sent first. */
  after?: string;
  signal?: AbortSignal;
}

/** Changes of state as they happen, over all losses of the connection. It does not end by itself. */
export async function* tail(settings: Settings, options: TailOptions): AsyncGenerator<Event, void, undefined> {
  const patience = new Patience(settings.repeats);
  const query = new URLSearchParams();
  if (options.queues?.length) query.set("queue", options.queues.join(","));
  if (options.states?.length) query.set("state", options.states.join(","));
  const url = `${settings.url}/v1/events?${query}`;
  let lastId = options.after;
  for (;;) {
    let failed: TidegateError;
    const limit = new Limit(SILENCE_MAX_MS, options.signal);
    try {
      const headers = { ...headersOf(settings), Accept: "text/event-stream" };
      const given = lastId === undefined ? headers : { ...headers, "Last-Event-ID": lastId };
      const response = await settings.fetch(url, { headers: given, redirect: "manual", signal: limit.signal });
      const lines = new Lines(lastId);
      for await (const chunk of await bodyOf(response)) {
        limit.again();
        for (const event of lines.feed(chunk)) {
          if (event.kind === "ready") patience.succeeded();
          // Whoever works on an event may take his time.
          limit.pause();
          yield event;
          limit.again();
          lastId = lines.lastId;
        }
        lastId = lines.lastId;
      }
      failed = new ConnectionFailed("the event stream ended", true);
    } catch (error) {
      if (limit.isCaller) throw options.signal?.reason ?? error;
      failed = error instanceof TidegateError ? error : connectionFailed(error, settings.url, limit.isOver);
    } finally {
      limit.end();
    }
    await sleep(patience.waitMs(failed, performance.now()), options.signal);
  }
}

/** The bytes of a stream; throws where the answer is something else. */
async function bodyOf(response: Response): Promise<AsyncGenerator<Uint8Array>> {
  const after = retryAfterMs(response.headers.get("Retry-After"));
  if (response.status !== 200) throw errorOfAnswer(response.status, await response.text(), after);
  const kind = response.headers.get("Content-Type") ?? "";
  if (!kind.startsWith("text/event-stream") || response.body === null) {
    await response.body?.cancel();
    throw new UnexpectedAnswer(
      `the answer is ${kind || "without a content type"} and not a stream of events; ` +
        "look whether the url is that of Tidegate's API",
      200,
    );
  }
  return chunks(response.body);
}

/** As not every browser iterates over a stream by itself. */
async function* chunks(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** The lines of one connection. */
export class Lines {
  private readonly decoder = new TextDecoder();
  private rest = "";
  private kind = "";
  private data = "";
  private id: string | undefined;

  constructor(public lastId?: string) {}

  /** The events that are whole with these bytes. */
  *feed(chunk: Uint8Array): Generator<Event> {
    const lines = (this.rest + this.decoder.decode(chunk, { stream: true })).split("\n");
    this.rest = lines.pop() ?? "";
    if (this.rest.length > LINE_CHARS_MAX) throw new UnexpectedAnswer("a line of the event stream does not end", 200);
    for (const line of lines) {
      const event = this.line(line.replace(/\r$/, ""));
      if (event !== undefined) yield event;
    }
  }

  private line(line: string): Event | undefined {
    if (line !== "") {
      const [, name, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === "event") this.kind = value;
      else if (name === "data") this.data += value;
      else if (name === "id") this.id = value;
      return undefined;
    }
    const event = eventOf(this.kind, this.data, this.id ?? "");
    // A comment with an id moves on too.
    if (this.id) this.lastId = this.id;
    this.kind = this.data = "";
    this.id = undefined;
    return event;
  }
}

function eventOf(kind: string, data: string, eventId: string): Event | undefined {
  if (!["ready", "message", "queue", "gap"].includes(kind)) return undefined;
  try {
    const fields: unknown = JSON.parse(data);
    if (!isFields(fields)) throw new TypeError("it is not an object");
    if (kind === "ready") return { kind };
    if (kind === "gap") return { kind, detail: textOf(fields, "detail") };
    const queue = textOf(fields, "queue");
    const at = date(fields, "at");
    if (kind === "queue") return { kind, eventId, queue, change: textOf(fields, "change"), at };
    const [id, state] = [textOf(fields, "id"), textOf(fields, "state") as State];
    return { kind: "message", eventId, id, queue, state, at };
  } catch (error) {
    const why = (error as Error).message;
    throw new UnexpectedAnswer(`an event of the stream cannot be read: ${why}`, 200, data, { cause: error });
  }
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw new TypeError(`${name} is ${typeof value}, and not a text`);
  return value;
}

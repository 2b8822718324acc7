// One try of a call: options, the request, and what the answer or its absence means.

import type { Call } from "./calls.js";
import { ConnectionFailed, errorOfAnswer, UnexpectedAnswer } from "./errors.js";
import { known, span } from "./fields.js";
import { DEFAULT_REPEATS, retryAfterMs, type Repeats } from "./repeats.js";

export interface Options {
  /** Default: `TIDEGATE_URL`, else `http://127.0.0.1:7411`. */
  url?: string | undefined;
  /** Default: `TIDEGATE_TOKEN`. */
  token?: string | undefined;
  /**
   * How long one try of any request may take, beside a wait that was asked for. Default: 10,000, and 60,000 for
   * a request of `sendMany`.
   */
  timeoutMs?: number | undefined;
  repeats?: Partial<Repeats> | undefined;
  /** In place of the global one. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** The options with all defaults. */
export interface Settings {
  url: string;
  token: string | undefined;
  timeoutMs: number | undefined;
  repeats: Repeats;
  fetch: typeof globalThis.fetch;
}

const DEFAULT_URL = "http://127.0.0.1:7411";
const DEFAULT_TIMEOUT_MS = 10_000;
/** Nothing of the request has reached anybody. */
const NEVER_LEFT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function environment(name: string): string | undefined {
  const process = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process;
  return process?.env?.[name] || undefined;
}

export function settingsOf(options: Options): Settings {
  known(options, ["url", "token", "timeoutMs", "repeats", "fetch"]);
  const repeats = known(options.repeats ?? {}, Object.keys(DEFAULT_REPEATS), "repeats");
  const url = (options.url || environment("TIDEGATE_URL") || DEFAULT_URL).replace(/\/+$/, "");
  if (!/^https?:\/\/[^/]/.test(url)) {
    throw new TypeError(`"${url}" is not the url of a daemon; write it as ${DEFAULT_URL}`);
  }
  const token = options.token || environment("TIDEGATE_TOKEN");
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new TypeError("the token has a character that no token has, such as a line end; give it without, as with .trim()");
  }
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  return {
    url,
    token,
    timeoutMs: options.timeoutMs === undefined ? undefined : span(options.timeoutMs, "timeoutMs"),
    repeats: {
      deadlineMs: span(repeats.deadlineMs, "deadlineMs", DEFAULT_REPEATS.deadlineMs),
      initialMs: span(repeats.initialMs, "initialMs", DEFAULT_REPEATS.initialMs),
      waitMaxMs: span(repeats.waitMaxMs, "waitMaxMs", DEFAULT_REPEATS.waitMaxMs),
    },
    fetch,
  };
}

/** The headers of every request. */
export function headersOf(settings: Settings): Record<string, string> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (settings.token !== undefined) headers.Authorization = `Bearer ${settings.token}`;
  return headers;
}

/** One try. */
export async function exchange<T>(call: Call<T>, settings: Settings, signal?: AbortSignal): Promise<T> {
  const query = call.query?.length ? `?${new URLSearchParams(call.query.map(([name, value]) => [name, value]))}` : "";
  const headers = { ...headersOf(settings), ...call.headers };
  if (call.method !== "GET" && call.method !== "HEAD") headers["Content-Type"] = "application/json";
  const timeoutMs = settings.timeoutMs ?? call.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const limit = new Limit((call.answersAfterMs ?? 0) + timeoutMs, signal);
  let status: number;
  let body: string;
  let after: string | null;
  try {
    const response = await settings.fetch(settings.url + call.path + query, {
      method: call.method,
      headers,
      body: call.body ?? null,
      redirect: "manual",
      signal: limit.signal,
    });
    status = response.status;
    after = response.headers.get("Retry-After");
    body = await response.text();
  } catch (error) {
    throw limit.isCaller ? (signal?.reason ?? error) : connectionFailed(error, settings.url, limit.isOver);
  } finally {
    limit.end();
  }
  if (status < 200 || status > 299) throw errorOfAnswer(status, body, retryAfterMs(after));
  try {
    return call.read(JSON.parse(body));
  } catch (error) {
    throw new UnexpectedAnswer(
      `the answer ${status} to ${call.method} ${call.path} cannot be read: ${(error as Error).message}; ` +
        "look whether the url is that of Tidegate's API, and whether this package is as new as the daemon",
      status,
      body,
      { cause: error },
    );
  }
}

/** What an error of `fetch` means. */
export function connectionFailed(error: unknown, url: string, isOver = false): ConnectionFailed {
  const codes = codesOf(error);
  const said = isOver ? "it took too long" : [(error as Error)?.message, ...codes].filter(Boolean).join(", ");
  if (codes.some((code) => NEVER_LEFT.has(code))) {
    const detail = `${url} cannot be reached (${said}); look whether the daemon runs there: \`tidegate health\``;
    return new ConnectionFailed(detail, false, { cause: error });
  }
  const detail = `the answer of ${url} did not arrive (${said}); the request may have been carried out`;
  return new ConnectionFailed(detail, true, { cause: error });
}

/** The codes of an error, of what caused it, and of the addresses that were tried. */
function codesOf(error: unknown): string[] {
  if (typeof error !== "object" || error === null) return [];
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown[] };
  const deeper = [cause, ...(Array.isArray(errors) ? errors : [])].flatMap(codesOf);
  return typeof code === "string" ? [code, ...deeper] : deeper;
}

/** Ends a request after a time, or when the caller wants it to. Node.js 18 cannot join signals by itself. */
export class Limit {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly abort = () => {
    this.isCaller = true;
    this.controller.abort(this.outer?.reason);
  };
  /** Whether the time was over. */
  isOver = false;
  /** Whether the caller ended it. */
  isCaller = false;

  constructor(
    private readonly ms: number,
    private readonly outer?: AbortSignal,
  ) {
    if (outer?.aborted) this.abort();
    outer?.addEventListener("abort", this.abort, { once: true });
    this.again();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Begins to count anew. */
  again(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.isOver = true;
      this.controller.abort();
    }, this.ms);
  }

  /** Counts no more, until `again`; the caller is still heard. */
  pause(): void {
    clearTimeout(this.timer);
  }

  /** Is over. */
  end(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.abort);
  }
}

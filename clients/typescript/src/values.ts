// Durations, moments, bytes and JSON, as the API takes them. Knows no routes.

/** Whole seconds, or a text such as `"1h30m"` or `"250ms"`. */
export type Duration = number | string;

/** A `Date`, or a text in RFC 3339. */
export type Moment = Date | string;

/** What JSON can express. */
export type Fields = Record<string, unknown>;

/** Writes what is given as `name`. */
export function moment(value: Date, name: string): string {
  if (Number.isNaN(value.getTime())) throw new RangeError(`${name} is a Date that is not valid; give one that is`);
  return value.toISOString();
}

export function milliseconds(ms: number): string {
  return `${Math.max(Math.round(ms), 0)}ms`;
}

/** Leaves out what was not given. */
export function withoutUndefined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

/** A name as one segment of a path; what would lead to another path is refused. */
export function segment(name: string, what: string): string {
  // Also in their encoded form, which `fetch` takes for the same.
  if (typeof name !== "string" || /^(\.|%2e){0,2}$/i.test(name)) {
    throw new TypeError(`"${name}" is not ${what}; give its name, such as the one in the configuration`);
  }
  return encodeURIComponent(name);
}

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** Throws where it is not valid. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  const decoded = atob(text);
  const bytes = new Uint8Array(decoded.length);
  for (let at = 0; at < decoded.length; at += 1) bytes[at] = decoded.charCodeAt(at);
  return bytes;
}

/** Waits; rejects with the signal's reason if it is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

async function findCrypto(): Promise<Crypto> {
  if (globalThis.crypto !== undefined) return globalThis.crypto;
  // Node.js 18 has it here; the name is no literal, so that no bundler looks for it.
  const module = "node:crypto";
  return ((await import(module)) as { webcrypto: Crypto }).webcrypto;
}

export const webCrypto: Crypto = await findCrypto();

/** A version 4 UUID; `randomUUID` is missing on pages without TLS. */
export function uuid(): string {
  const bytes = webCrypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

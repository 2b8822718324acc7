// Verifies calls that Tidegate has signed: deliveries, callbacks and probes (Standard Webhooks). Knows no web
// framework: give it the headers and the bytes of the body.

import { InvalidSignature } from "./errors.js";
import { known, shown, span } from "./fields.js";
import { base64, bytesOfBase64, webCrypto } from "./values.js";

const PREFIX = "whsec_";
const VERSION = "v1,";
const TOLERANCE_S = 300;

/** The headers of a call: those of `fetch`, or of Node.js's `request.headers`. */
export type HeadersOfCall = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** A call whose signature is right. */
export interface VerifiedCall {
  /** The same on every attempt: keep it, and do nothing where it was seen before. */
  id: string;
  timestampS: number;
  body: Uint8Array;
  text(): string;
  json(): unknown;
}

/** The secrets of one downstream. Several are given while one is being changed; any of them counts. */
export class Webhook {
  readonly #keys: Promise<CryptoKey>[];
  readonly #toleranceS: number;

  constructor(secrets: string | readonly string[], options: { toleranceS?: number } = {}) {
    const given = typeof secrets === "string" ? [secrets] : [secrets].flat();
    if (given.length === 0) throw new TypeError("no secret was given; give the signing_secret of the downstream");
    this.#keys = given.map((secret) => {
      const algorithm = { name: "HMAC", hash: "SHA-256" };
      return webCrypto.subtle.importKey("raw", keyOf(secret), algorithm, false, ["verify"]);
    });
    this.#toleranceS = span(known(options, ["toleranceS"]).toleranceS, "toleranceS", TOLERANCE_S);
  }

  /** The call, if it is signed with one of the secrets, and not long ago; else rejects with `InvalidSignature`. */
  async verify(
    headers: HeadersOfCall,
    body: Uint8Array | ArrayBuffer | string,
    options: { nowMs?: number } = {},
  ): Promise<VerifiedCall> {
    known(options, ["nowMs"]);
    const bytes = bytesOf(body);
    const id = required(headers, "webhook-id");
    const timestamp = required(headers, "webhook-timestamp");
    const signatures = required(headers, "webhook-signature");
    const timestampS = this.#fresh(timestamp, (options.nowMs ?? Date.now()) / 1000);
    const before = new TextEncoder().encode(`${id}.${timestamp}.`);
    const content = new Uint8Array(before.length + bytes.length);
    content.set(before);
    content.set(bytes, before.length);
    if (!(await this.#isSigned(content, signatures))) {
      throw new InvalidSignature(
        "no signature of the call fits the secrets; compare them with signing_secret of the downstream, " +
          "and give the body as it came in",
      );
    }
    const text = () => new TextDecoder().decode(bytes);
    return { id, timestampS, body: bytes, text, json: () => JSON.parse(text()) as unknown };
  }

  #fresh(timestamp: string, nowS: number): number {
    if (!/^[0-9]{1,15}$/.test(timestamp)) {
      throw new InvalidSignature("webhook-timestamp is not a number of seconds since 1970");
    }
    const awayS = Math.abs(nowS - Number(timestamp));
    if (awayS > this.#toleranceS) {
      throw new InvalidSignature(
        `webhook-timestamp is ${awayS.toFixed(0)} s away from the clock of this machine, more than ` +
          `${this.#toleranceS} s: the call is old or repeated by somebody, or the clock is wrong`,
      );
    }
    return Number(timestamp);
  }

  async #isSigned(content: Uint8Array<ArrayBuffer>, signatures: string): Promise<boolean> {
    let isSigned = false;
    // All of them; WebCrypto compares in constant time, so that nobody learns how near a guess was.
    for (const key of this.#keys) {
      for (const signature of signaturesOf(signatures)) {
        isSigned = (await webCrypto.subtle.verify("HMAC", await key, signature, content)) || isSigned;
      }
    }
    return isSigned;
  }
}

/** Those of version 1. Several headers of this name are joined with commas by most servers. */
function signaturesOf(header: string): Uint8Array<ArrayBuffer>[] {
  const given = header.split(/\s+/).map((each) => each.replace(/,+$/, ""));
  return given.flatMap((each) => {
    if (!each.startsWith(VERSION)) return [];
    try {
      const bytes = bytesOfBase64(each.slice(VERSION.length));
      // One way to write it, as the daemon does.
      return base64(bytes) === each.slice(VERSION.length) ? [bytes] : [];
    } catch {
      return [];
    }
  });
}

function bytesOf(body: Uint8Array | ArrayBuffer | string): Uint8Array<ArrayBuffer> {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (body instanceof Uint8Array) return new Uint8Array(body);
  throw new TypeError("the body was read already; give it as it came in, since the signature is over its bytes");
}

function required(headers: HeadersOfCall, name: string): string {
  const value = headers instanceof Headers ? headers.get(name) : ofRecord(headers, name);
  if (!value) {
    throw new InvalidSignature(`the call has no ${name}; it is not signed: set signing_secret of the downstream`);
  }
  return value;
}

function ofRecord(headers: Readonly<Record<string, string | readonly string[] | undefined>>, name: string): string {
  const found = Object.entries(headers).filter(([given]) => given.toLowerCase() === name);
  return found.flatMap(([, value]) => value ?? []).join(" ");
}

/** Reads `whsec_<base64>`, or takes any other text as its bytes, as the daemon does. */
function keyOf(secret: unknown): Uint8Array<ArrayBuffer> {
  if (typeof secret !== "string") {
    throw new TypeError(
      `the secret is ${shown(secret)}; give the signing_secret of the downstream: if it comes from an environment ` +
        "variable, look whether that is set",
    );
  }
  let key: Uint8Array<ArrayBuffer>;
  if (!secret.startsWith(PREFIX)) {
    key = new TextEncoder().encode(secret);
  } else {
    try {
      key = bytesOfBase64(secret.slice(PREFIX.length).trim().replace(/=+$/, ""));
    } catch {
      throw new TypeError(`a secret starts with ${PREFIX} but what follows is not base64; give it as Tidegate has it`);
    }
  }
  if (key.length === 0) throw new TypeError("a secret is empty; give the signing_secret of the downstream");
  return key;
}

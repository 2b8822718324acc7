// Real parts for the tests: a daemon on a Redis of its own, a downstream, and a server between client and daemon.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Tidegate } from "tidegate";

export const PATIENCE_MS = 30_000;
export const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
export const NEXT_SECRET = "a secret of plain words";
export const QUICK = { deadlineMs: 20_000, initialMs: 20, waitMaxMs: 200 };
/** The folder of the package, from build/test. */
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

export function program(): string {
  return process.env.TIDEGATE_PROGRAM ?? "tidegate";
}

export async function freePort(): Promise<number> {
  const socket = createSocket().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address() as AddressInfo;
  socket.close();
  await once(socket, "close");
  return port;
}

/** Waits for a condition. */
export async function until<T>(what: () => T | undefined | false | Promise<T | undefined | false>, why: string): Promise<T> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (performance.now() < deadlineMs) {
    const value = await what();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain until ${why}`);
}

/** A short folder, as a Unix socket stands in it. */
export async function folder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "tg"));
}

/** A daemon with a Redis of its own, in a folder that outlives it. */
export class Daemon {
  private process: ChildProcess | undefined;

  private constructor(
    readonly folder: string,
    readonly url: string,
  ) {}

  static async start(config: string): Promise<Daemon> {
    const [at, port] = [await folder(), await freePort()];
    const server = `[server]\nlisten = "127.0.0.1:${port}"\ndrain_timeout = "2s"\n`;
    await writeFile(join(at, "tidegate.toml"), server + config);
    const daemon = new Daemon(at, `http://127.0.0.1:${port}`);
    await daemon.start();
    return daemon;
  }

  async start(): Promise<void> {
    const log = await open(join(this.folder, "log"), "a");
    const child = spawn(program(), ["serve", "--config", join(this.folder, "tidegate.toml")], {
      env: { ...process.env, TIDEGATE__REDIS__DATA_DIR: join(this.folder, "data") },
      stdio: ["ignore", log.fd, log.fd],
    });
    this.process = child;
    await until(async () => {
      if (child.exitCode !== null) throw new Error(await readFile(join(this.folder, "log"), "utf8"));
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer?.status === 200;
    }, "the daemon is ready");
    await log.close();
  }

  async end(signal: "SIGKILL" | "SIGTERM" = "SIGTERM"): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (child === undefined) return;
    child.kill(signal);
    await once(child, "exit");
  }

  /** Connections are taken by the system meanwhile, and nothing answers. */
  async frozen(body: () => Promise<void>): Promise<void> {
    this.process?.kill("SIGSTOP");
    try {
      await body();
    } finally {
      this.process?.kill("SIGCONT");
    }
  }

  async remove(): Promise<void> {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** One call that a server got. */
export interface Received {
  path: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

type Take = (request: Received, response: ServerResponse, incoming: IncomingMessage) => Promise<void> | void;

class Listening {
  protected constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  protected static async listen(take: Take): Promise<[Server, string]> {
    const server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        const received = { path: incoming.url ?? "", headers: incoming.headers, body: Buffer.concat(chunks) };
        void Promise.resolve(take(received, response, incoming)).catch(() => incoming.socket.destroy());
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}

/** Takes every call and keeps it. */
export class Downstream extends Listening {
  received: Received[] = [];
  status = 200;

  static async start(): Promise<Downstream> {
    const [server, url] = await Listening.listen((request, response) => {
      downstream.received.push(request);
      response.writeHead(downstream.status).end();
    });
    const downstream: Downstream = new Downstream(server, url);
    return downstream;
  }

  async only(): Promise<Received> {
    return until(() => this.received[0], "a call arrives");
  }
}

export interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/**
 * Stands between client and daemon. Each request takes the next step; without one it takes `otherwise`.
 * "lose": passed on, and the answer is lost. "cut": not passed on. An answer: given in place of the daemon.
 */
export class Between extends Listening {
  steps: ("pass" | "lose" | "cut" | Answer)[] = [];
  otherwise: "pass" | Answer = "pass";
  requests: Received[] = [];

  static async start(to: string): Promise<Between> {
    const [server, url] = await Listening.listen(async (request, response, incoming) => {
      between.requests.push(request);
      const step = between.steps.shift() ?? between.otherwise;
      if (typeof step === "object") {
        response.writeHead(step.status, step.headers).end(step.body);
        return;
      }
      if (step === "cut") return void incoming.socket.destroy();
      const { "content-type": type, authorization } = request.headers;
      const answer = await fetch(to + request.path, {
        method: incoming.method ?? "GET",
        headers: { ...(type ? { "content-type": type } : {}), ...(authorization ? { authorization } : {}) },
        body: request.body.length > 0 ? new Uint8Array(request.body) : null,
      });
      const body = Buffer.from(await answer.arrayBuffer());
      if (step === "lose") return void incoming.socket.destroy();
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" }).end(body);
    });
    const between: Between = new Between(server, url);
    return between;
  }
}

/** An answer in the words of the daemon. */
export function problem(status: number, code: string, more: Record<string, unknown> = {}): Answer {
  const body = { type: `urn:tidegate:problem:${code}`, title: code, status, detail: "a test", code, ...more };
  const headers: Record<string, string> = { "Content-Type": "application/problem+json" };
  if (more.retry_after_s !== undefined) headers["Retry-After"] = String(more.retry_after_s);
  return { status, headers, body: JSON.stringify(body) };
}

/** The queues that the tests speak of. */
export function config(downstream: string): string {
  return `
callback_hosts = ["127.0.0.1"]
[queues.sms]
retry = { max_attempts = 1 }
[queues.sms.downstream]
url = "${downstream}/sms"
signing_secret = "${SECRET}"
[queues.rotated.downstream]
url = "${downstream}/rotated"
signing_secrets = ["${NEXT_SECRET}", "${SECRET}"]
[queues.unsigned.downstream]
url = "${downstream}/unsigned"
[queues.null.downstream]
type = "null"
[queues.small]
backlog = { max_messages = 2 }
[queues.small.downstream]
type = "pull"
[queues.scarce]
limits = [{ quota = "10/day" }]
[queues.scarce.downstream]
type = "null"
[queues.other.downstream]
type = "null"
[queues.work]
lease = "5s"
retry = { initial = "50ms", jitter = 0.0 }
[queues.work.downstream]
type = "pull"
[queues.print.downstream]
type = "pull"
[topics.order_paid]
queues = ["null", "other"]
`;
}

/** Everything that most files of tests need. */
export interface World {
  downstream: Downstream;
  daemon: Daemon;
  between: Between;
  client: Tidegate;
  /** A client whose requests go through `between`. */
  shaky: Tidegate;
  end(): Promise<void>;
}

export async function world(): Promise<World> {
  const downstream = await Downstream.start();
  const daemon = await Daemon.start(config(downstream.url));
  const between = await Between.start(daemon.url);
  return {
    downstream,
    daemon,
    between,
    client: new Tidegate({ url: daemon.url, repeats: QUICK }),
    shaky: new Tidegate({ url: between.url, repeats: QUICK }),
    async end() {
      await between.close();
      await daemon.remove();
      await downstream.close();
    },
  };
}

/** Nothing of the test before. */
export function afresh(it: World): void {
  it.downstream.received = [];
  it.downstream.status = 200;
  it.between.steps = [];
  it.between.otherwise = "pass";
  it.between.requests = [];
}

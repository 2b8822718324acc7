// README.md as a stranger follows it: its commands, its configuration, and each block of TypeScript.

import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Tidegate } from "tidegate";

import { Daemon, folder, freePort, PACKAGE, until } from "./support.js";

const README = await readFile(join(PACKAGE, "README.md"), "utf8");
const EXAMPLES = join(PACKAGE, "examples");
const port = await freePort();

function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text ?? "");
}

let daemon: Daemon;
let build: string;
before(async () => {
  daemon = await Daemon.start(String(blocks("toml")[0]).replace(":8090", `:${port}`));
  // Below the package, where its own name is found.
  await mkdir(join(PACKAGE, "build"), { recursive: true });
  build = await mkdtemp(join(PACKAGE, "build", "readme-"));
});
after(async () => {
  await daemon.remove();
  await rm(build, { recursive: true, force: true });
});

const environment = (more: Record<string, string> = {}) => ({ ...process.env, TIDEGATE_URL: daemon.url, ...more });

/** Runs a program to its end. */
function run(file: string, ...given: string[]): string {
  const done = spawnSync(process.execPath, [file, ...given], { env: environment(), encoding: "utf8", timeout: 60_000 });
  assert.equal(done.status, 0, done.stdout + done.stderr);
  return done.stdout;
}

/** A program that runs until it is told to stop. */
class Running {
  said = "";
  readonly ended: Promise<unknown[]>;
  private readonly child: ChildProcess;

  constructor(file: string, given: string[] = [], more: Record<string, string> = {}) {
    const child = spawn(process.execPath, [file, ...given], { env: environment(more) });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
    }
    this.ended = once(child, "exit");
  }

  has(words: string): Promise<true> {
    return until(() => this.said.includes(words), `${words} is said`);
  }

  async end(): Promise<unknown> {
    this.child.kill("SIGTERM");
    return (await this.ended)[0];
  }
}

test("its first two commands, in a copy where nothing is built", async () => {
  const at = await folder();
  const copy = join(at, "clients", "typescript");
  const isMade = (source: string) => /\/(node_modules|dist|build)(\/|$)/.test(source.slice(PACKAGE.length));
  await cp(PACKAGE, copy, { recursive: true, filter: (source) => !isMade(source) });
  const demo = await Daemon.start('[queues.demo.downstream]\ntype = "null"\n');
  for (const line of String(blocks("console")[0]).trim().split("\n")) {
    const env = environment({ TIDEGATE_URL: demo.url });
    const done = spawnSync("sh", ["-c", line.replace(/^\$ /, "")], { cwd: at, env, encoding: "utf8", timeout: 120_000 });
    assert.equal(done.status, 0, `${line}\n${done.stdout}${done.stderr}`);
    if (line.includes("send.mjs")) assert.match(done.stdout, /is delivered after 1 attempts/);
  }
  await demo.remove();
  await rm(at, { recursive: true, force: true });
});

test("its blocks run", async () => {
  // Each as it stands: they are checked and compiled in the strictest way, and those that go on are one program.
  const files = blocks("ts").filter((block) => block.startsWith("// "));
  for (const block of files) {
    const name = block.slice(3, block.indexOf("\n"));
    await writeFile(join(build, name), block.replace("8090", String(port)));
  }
  const rest = blocks("ts").filter((block) => !block.startsWith("// "));
  await writeFile(join(build, "readme.mts"), rest.join("\n"));
  const options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck"];
  const sources = ["receiver.mts", "worker.mts", "readme.mts"].map((name) => join(build, name));
  const tsc = join(PACKAGE, "node_modules", "typescript", "bin", "tsc");
  const compiled = spawnSync(process.execPath, [tsc, ...options, ...sources], { cwd: PACKAGE, encoding: "utf8" });
  assert.equal(compiled.status, 0, compiled.stdout);

  const receiver = new Running(join(build, "receiver.mjs"));
  const worker = new Running(join(build, "worker.mjs"));
  try {
    const client = new Tidegate({ url: daemon.url });
    const page = await client.send("print", { page: 7 });
    // A second time on the same data too.
    for (const printed of [run(join(build, "readme.mjs")), run(join(build, "readme.mjs"))]) {
      for (const words of ["delivered 200", "500 taken", "/delay", "points_"]) assert.ok(printed.includes(words), printed);
    }
    const text = await client.send("sms", "no JSON", { contentType: "text/plain" });
    assert.equal((await client.waitUntilFinal(text.id, { timeoutMs: 20_000 })).state, "delivered");
    await receiver.has("no JSON");
    await receiver.has("Your table is ready.");
    await worker.has("page 7");
    assert.equal((await client.waitUntilFinal(page.id, { timeoutMs: 20_000 })).attempts, 2);
  } finally {
    assert.equal(await worker.end(), 0, worker.said);
    await receiver.end();
  }
});

test("the examples run", async () => {
  const names = (await readdir(EXAMPLES)).sort();
  assert.deepEqual(names, ["receiver.mjs", "send-many.mjs", "send.mjs", "tail.mjs", "worker.mjs"]);
  const secrets = "whsec_plJ3nmyCDGBKInavdOK15jsl whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const receiver = new Running(join(EXAMPLES, "receiver.mjs"), [String(port)], { TIDEGATE_SIGNING_SECRET: secrets });
  const tail = new Running(join(EXAMPLES, "tail.mjs"), ["print"]);
  const worker = new Running(join(EXAMPLES, "worker.mjs"));
  try {
    await tail.has("the stream is open");
    const client = new Tidegate({ url: daemon.url });
    const [page, bad] = [await client.send("print", { page: 1 }), await client.send("print", 5)];
    await worker.has("page 1, attempt 1");
    const dead = await client.waitUntilFinal(bad.id, { timeoutMs: 20_000 });
    assert.equal(dead.reason, "the payload has no page");
    await tail.has(`${page.id} delivered`);
    assert.match(run(join(EXAMPLES, "send.mjs"), "sms", "Grüße"), /is delivered/);
    await receiver.has("Grüße");
    const lines = join(build, "lines");
    await writeFile(lines, '{"n": 1}\n"zwei"\n3\n');
    for (const before of [0, 3]) {
      const said = run(join(EXAMPLES, "send-many.mjs"), "points", lines);
      assert.equal(said, `3 taken, ${before} of them before, 0 refused\n`);
    }
    assert.match(run(join(EXAMPLES, "send-many.mjs"), "points"), /^1000 taken/);
  } finally {
    assert.equal(await worker.end(), 0, worker.said);
    await tail.end();
    await receiver.end();
  }
});

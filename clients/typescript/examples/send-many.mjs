// Hands over the lines of a file, or a thousand numbers, and says which were refused.
//
//     node send-many.mjs [QUEUE] [FILE.ndjson]
//
// Each line is a payload in JSON. Run it again after an interruption: the keys are made of the lines, so that
// none is taken twice.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import { NewMessage, Tidegate } from "tidegate";

const [queue = "demo", file] = process.argv.slice(2);

async function* lines() {
  if (file !== undefined) yield* createInterface({ input: createReadStream(file) });
  else for (let n = 0; n < 1_000; n += 1) yield String(n);
}

async function* messages() {
  let number = 0;
  for await (const line of lines()) {
    const idempotencyKey = createHash("sha256").update(`${number} ${line}`).digest("hex");
    yield new NewMessage(JSON.parse(line), { idempotencyKey });
    number += 1;
  }
}

const done = await new Tidegate().sendMany(queue, messages());
for (const each of done.rejected) console.error(`line ${each.index + 1}: ${each.problem?.message}`);
const duplicates = done.accepted.filter((each) => each.duplicate).length;
console.log(`${done.accepted.length} taken, ${duplicates} of them before, ${done.rejected.length} refused`);

// Sends one message, waits until it is delivered, and shows what became of it.
//
//     node send.mjs [QUEUE] [TEXT]

import { Tidegate } from "tidegate";

const [queue = "demo", text = "hello"] = process.argv.slice(2);
const tidegate = new Tidegate();
const sent = await tidegate.send(queue, { text });
console.log(`${sent.id} is stored`);
const done = await tidegate.waitUntilFinal(sent.id, { timeoutMs: 30_000 });
console.log(`${done.id} is ${done.state} after ${done.attempts} attempts`);

// Shows changes of state as they happen. End it with Ctrl-C.
//
//     node tail.mjs [QUEUE]...

import { Tidegate } from "tidegate";

for await (const event of new Tidegate().events({ queues: process.argv.slice(2) })) {
  if (event.kind === "message") console.log(event.at.toISOString(), event.id, event.state);
  else if (event.kind === "queue") console.log(event.at.toISOString(), "queue", event.queue, event.change);
  else if (event.kind === "gap") console.log("changes may be missing:", event.detail);
  else console.log("the stream is open");
}

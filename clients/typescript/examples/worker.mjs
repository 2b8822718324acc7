// Prints the pages of a pull queue. End it with Ctrl-C or SIGTERM: what it has begun is finished first.
//
//     node worker.mjs [QUEUE]

import { Dead, Tidegate, Worker } from "tidegate";

const [queue = "print"] = process.argv.slice(2);

const worker = new Worker(
  new Tidegate(),
  queue,
  async (message) => {
    const page = /** @type {{ page?: unknown }} */ (message.payload)?.page;
    if (page === undefined) throw new Dead("the payload has no page");
    console.log(`page ${page}, attempt ${message.attempt}`);
    return { printed: page };
  },
  { concurrency: 4 },
);
await worker.run();

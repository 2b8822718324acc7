// A downstream that takes only calls which Tidegate has signed, and each message once.
//
//     TIDEGATE_SIGNING_SECRET=whsec_... node receiver.mjs [PORT]
//
// Give the secrets with blanks between them while one is being changed.

import { createServer } from "node:http";

import { InvalidSignature, Webhook } from "tidegate";

const [port = "8090"] = process.argv.slice(2);
const webhook = new Webhook((process.env.TIDEGATE_SIGNING_SECRET ?? "").split(" "));
// A real one keeps the ids where its work is kept, in the same transaction.
const seen = new Set();

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const call = await webhook.verify(request.headers, Buffer.concat(chunks));
    if (!seen.has(call.id)) {
      seen.add(call.id);
      console.log(`${call.id}: ${call.text()}`);
    }
    response.writeHead(200).end();
  } catch (error) {
    if (!(error instanceof InvalidSignature)) throw error;
    console.log(`refused: ${error.message}`);
    response.writeHead(401).end();
  }
});
server.listen(Number(port), "127.0.0.1");

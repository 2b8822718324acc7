// What the pages show: messages in every state, and texts that would be code where somebody forgot to escape them.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

// Each of these would set window.harmed, open a dialog, or load something from elsewhere.
export const CORPUS = [
  `<script>window.harmed=1</script>`,
  `"><img src=x onerror="window.harmed=1">`,
  `'><svg/onload=window.harmed=1>`,
  `</textarea><script>window.harmed=1</script>`,
  `</title></style></script><script>window.harmed=1</script>`,
  `javascript:window.harmed=1//`,
  `{{7*7}}\${7*7}<%= 7*7 %>`,
  `<a href="javascript:window.harmed=1">x</a>`,
  `<iframe srcdoc="<script>parent.harmed=1</script>">`,
  `&lt;script&gt;window.harmed=1&lt;/script&gt;`,
  `<!--<img src="--><img src=x onerror=window.harmed=1//">`,
  `<form action="https://evil.example"><input name=q>`,
  `<meta http-equiv="refresh" content="0;url=https://evil.example">`,
  `<base href="https://evil.example/">`,
  `\u2028\u202e<b onmouseover=window.harmed=1>x`,
];

// A downstream that answers as its path says, with texts that are code.
export function downstream(port) {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const code = CORPUS.join(" ");
    if (request.url === "/silent") return;
    if (request.url === "/refused") response.writeHead(422, { "Content-Type": "text/html" }).end(code);
    else if (request.url === "/broken") response.writeHead(500, { "Content-Type": "text/html" }).end(code);
    else if (request.url === "/letters") response.writeHead(422).end(JSON.parse(body).fault);
    else if (request.url === "/bank") response.writeHead(503).end("the ledger is locked");
    else if (request.url === "/pending")
      response.writeHead(202, { "Tidegate-Receipt": "pending", "Tidegate-Ref": CORPUS[1] }).end();
    else if (request.url === "/page") response.writeHead(200, { "Content-Type": "text/html" }).end("<title>page</title>");
    else response.writeHead(200, { "Content-Type": "text/plain" }).end(CORPUS[0]);
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

// A small client of the API.
export function client(url, token) {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text;
  };
}

export async function until(what, condition, ms = 30000) {
  for (const end = Date.now() + ms; ; ) {
    try {
      const found = await condition();
      if (found) return found;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await sleep(100);
  }
}

// A message of each state, by the name of its state.
export async function seed(call) {
  await until("the daemon is ready", () => call("GET", "/readyz"));
  const send = (queue, body) => call("POST", `/v1/queues/${queue}/messages`, body);
  const labels = { code: CORPUS[1].slice(0, 200), shop: "eu" };
  const headers = { "X-Code": CORPUS[0] };
  const ids = {};
  ids.scheduled = (await send("sms", { payload: { text: CORPUS.join(" ") }, delay: "2h", labels, headers, group: CORPUS[2] })).id;
  ids.text = (await send("sms", { payload: CORPUS.join("\r\n"), content_type: "text/plain", delay: "3h" })).id;
  ids.bytes = (await send("sms", { payload_base64: Buffer.from([0, 1, 2, 255, ...Buffer.from(CORPUS[0])]).toString("base64"), content_type: "application/octet-stream", delay: "4h" })).id;
  ids.ready = (await send("erp", { payload: 1, idempotency_key: CORPUS[0] })).id;
  ids.delivered = (await send("sms", { payload: { to: "+49151" } })).id;
  for (let n = 0; n < 30; n++) ids.dead = (await send("letters", { payload: { n }, labels })).id;
  ids.retry = (await send("flaky", { payload: 1 })).id;
  ids.uncertain = (await send("doubtful", { payload: 1 })).id;
  ids.uncertain2 = (await send("doubtful", { payload: 2 })).id;
  ids.accepted = (await send("receipts", { payload: 1 })).id;
  ids.cancelled = (await send("sms", { payload: 1, delay: "1h" })).id;
  await call("DELETE", `/v1/messages/${ids.cancelled}`);
  for (let n = 0; n < 60; n++) await send("slow", { payload: { n } });
  await call("POST", "/v1/queues/receipts/pause", { reason: CORPUS[0] });
  await call("POST", "/v1/queues/slow/overrides", { rate: "1/h", for: "1h", reason: CORPUS[1] });
  await call("PUT", `/v1/queues/sms/keys?key=${encodeURIComponent(CORPUS[1])}`, { weight: 2 });
  const states = { delivered: "delivered", dead: "dead", uncertain: "uncertain", uncertain2: "uncertain", retry: "scheduled" };
  for (const [name, state] of Object.entries(states))
    await until(`${name} is ${state}`, async () => (await call("GET", `/v1/messages/${ids[name]}`)).state === state).catch(async (error) => { throw new Error(`${error.message}: ${(await call("GET", `/v1/messages/${ids[name]}/explain`)).sentence}`); });
  return ids;
}

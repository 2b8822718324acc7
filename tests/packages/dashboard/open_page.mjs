// Pages that are left open while messages flow. Usage: node open_page.mjs PLACES.json

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { must, open, places, window_ } from "./browser.mjs";
import { client, downstream, until } from "./seed.mjs";

const PATHS = ["/", "/ui/queues/sms", "/ui/dead", "/ui/messages?queue=sms&state=ready&state=leased", "/ui/health"];
const MEASURES = 10;
// The room that a page needs varies: by so much more than at first it counts as growing.
const GROWTH = 1.25;
const MIB = 1024 * 1024;

const server = await downstream(places.downstream);
const call = client(places.api);
await until("the daemon is ready", () => call("GET", "/readyz"));

// What flows: 25 messages a second come in where 20 leave, and letters are refused for three reasons.
let number = 0, flows = true;
const flow = (async () => {
  while (flows) {
    const body = (payload) => ({ payload });
    number += 1;
    const sms = Array.from({ length: 5 }, (_, n) => body({ number, n, text: "Your parcel is on its way." }));
    await call("POST", "/v1/queues/sms/messages/batch", sms);
    await call("POST", "/v1/queues/letters/messages", body({ fault: `status of letters: ${number % 3}` }));
    await call("POST", "/v1/queues/erp/messages", body({ number }));
    await sleep(200);
  }
})();

// What a page and the daemon need now, after whatever can be given back was given back.
async function measure(tab) {
  await tab.devtools.send("HeapProfiler.collectGarbage");
  await tab.devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await tab.devtools.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners, documents } = await tab.devtools.send("Memory.getDOMCounters");
  return { bytes: usedSize, nodes, listeners: jsEventListeners, documents };
}
const daemonBytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${places.daemon}/status`, "utf8"))[1]) * 1024;

const browser = await open();
const tabs = [];
for (const path of PATHS) {
  const { page, faults } = await window_();
  await page.goto(places.api + path);
  const devtools = await page.context().newCDPSession(page);
  tabs.push({ path, page, faults, devtools, seen: [], changes: 0, text: "" });
  if (places.leaks) await page.evaluate(() => { const kept = (window.kept = []); addEventListener("unload", () => kept); new MutationObserver((all) => kept.push(...all.flatMap((it) => [...it.removedNodes]))).observe(document, { childList: true, subtree: true }); });
}
const pauseMs = (places.minutes * 60e3) / MEASURES;
const daemonSeen = [];
for (let turn = 0; turn < MEASURES; turn++) {
  await sleep(pauseMs);
  for (const tab of tabs) {
    tab.seen.push(await measure(tab));
    const text = await tab.page.textContent("main");
    tab.changes += Number(text !== tab.text);
    tab.text = text;
  }
  daemonSeen.push(daemonBytes());
}
flows = false;
await flow;

// The first third is for warming up.
const from = Math.floor(MEASURES / 3);
for (const { path, seen, changes, faults } of tabs) {
  const [first, last] = [seen[from], seen[MEASURES - 1]];
  console.log(`open page: ${path}: ${JSON.stringify(first)} became ${JSON.stringify(last)}, ${changes} changes seen`);
  must(faults.length === 0, faults.join("\n"));
  if (path !== "/ui/health") must(changes >= Math.min(MEASURES / 2, places.minutes), `${path} was followed, and changed ${changes} times only`);
  must(last.bytes <= first.bytes * GROWTH + MIB / 2, `${path}: the page grows from ${first.bytes} to ${last.bytes} bytes`);
  must(last.nodes <= first.nodes * GROWTH + 500, `${path}: the page grows from ${first.nodes} to ${last.nodes} nodes`);
  must(last.listeners <= first.listeners * GROWTH + 20, `${path}: the page grows from ${first.listeners} to ${last.listeners} listeners`);
  must(last.documents <= first.documents + 3, `${path}: the page grows from ${first.documents} to ${last.documents} documents`);
}
const [first, last] = [daemonSeen[from], daemonSeen[MEASURES - 1]];
console.log(`open page: the daemon had ${(first / MIB).toFixed(0)} MiB and has ${(last / MIB).toFixed(0)}, after ${places.minutes} minutes and ${number * 7} messages`);
must(last <= first * GROWTH + 16 * MIB, `the daemon grows from ${first} to ${last} bytes`);
await browser.close();
server.closeAllConnections();
server.close();

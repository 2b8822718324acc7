// The dashboard in a browser: runs each check, and says what failed. Usage: node main.mjs PLACES.json

import { open, places, token } from "./browser.mjs";
import { client, downstream, seed } from "./seed.mjs";
import { pageChecks } from "./pages.mjs";
import { stepChecks } from "./steps.mjs";
import { accessChecks } from "./access.mjs";
import { pictures } from "./pictures.mjs";

const server = await downstream(places.downstream);
const call = client(places.api, token("ops"));
const callOpen = client(places.open);
const [ids, openIds] = await Promise.all([seed(call), seed(callOpen)]);
const browser = await open();
const only = process.argv.slice(3);
let failed = 0;
const checks = [...pageChecks(call, ids), ...accessChecks(call, ids, openIds), ...stepChecks(callOpen, openIds), ["pictures of the main pages", pictures]];
for (const [name, run] of checks) {
  if (only.length && !only.some((word) => name.includes(word))) continue;
  const began = Date.now();
  try {
    await run();
    console.log(`dashboard: ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`dashboard: FAILED: ${name}: ${error.stack ?? error}`);
  }
}
await browser.close();
server.closeAllConnections();
server.close();
console.log(failed ? `dashboard: ${failed} checks failed` : "dashboard: all checks passed");
process.exitCode = failed ? 1 : 0;

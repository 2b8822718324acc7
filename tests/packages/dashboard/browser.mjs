// A browser that reports whatever a page should not do.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const places = JSON.parse(readFileSync(process.argv[2], "utf8"));
const require = createRequire(join(places.modules, "x.js"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const token = (name) => readFileSync(join(places.folder, `token-${name}`), "utf8");

let browser = null;
export async function open() {
  browser = await chromium.launch({ executablePath: places.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  return browser;
}

export function must(condition, what) {
  if (!condition) throw new Error(what);
}

// A window of its own, with everything that it did wrong in `faults`.
export async function window_({ script = true, dark = false, phone = false, zone = "Europe/Berlin", faults = [] } = {}) {
  const context = await browser.newContext({
    javaScriptEnabled: script,
    colorScheme: dark ? "dark" : "light",
    viewport: phone ? { width: 390, height: 844 } : { width: 1360, height: 900 },
    timezoneId: zone,
    bypassCSP: false,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const own = [places.api, places.open, places.show, `http://localhost:${places.proxy}`, `http://127.0.0.1:${places.proxy}`, places.api.replace("127.0.0.1", "localhost")];
  page.on("dialog", (dialog) => { faults.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("pageerror", (error) => faults.push(`an error of a script: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (4|5)\d\d/.test(message.text())) faults.push(`on ${page.url()}: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && !own.some((place) => url.startsWith(place)) && !url.includes(`:${places.downstream}/`)) faults.push(`a request to elsewhere: ${url}`);
  });
  return { context, page, faults };
}

export async function login(page, url, name) {
  await page.goto(`${url}/ui/login`);
  await page.fill("input[name=token]", token(name));
  await page.click("main button");
  await page.waitForURL((found) => !found.pathname.endsWith("/ui/login"));
}

// What axe finds on a page.
export async function axe(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const results = await window.axe.run(document, { resultTypes: ["violations"] });
    return results.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target + " " + node.html.slice(0, 160) + " " + (node.any[0]?.message ?? "")).join(" | ")}`);
  });
  return found;
}

// The pages of a dashboard, by their path.
export function paths(ids) {
  return [
    "/", "/?name=erp", "/ui/queues/sms", "/ui/queues/erp", "/ui/queues/slow", "/ui/queues/flaky", "/ui/queues/receipts",
    "/ui/messages", "/ui/messages?queue=sms&state=scheduled&state=delivered", "/ui/messages?queue=letters&state=dead&error_contains=422",
    "/ui/messages?queue=slow&state=ready", "/ui/messages?queue=erp&idempotency_key=" + encodeURIComponent("<script>window.harmed=1</script>"),
    ...Object.values(ids).map((id) => `/ui/messages/${id}`), `/ui/messages/${ids.text}?payload=hex`,
    "/ui/dead", "/ui/dead?queue=letters", "/ui/operations", "/ui/schedules", "/ui/topics", "/ui/limits", "/ui/nodes", "/ui/audit", "/ui/health",
  ];
}

// Every page: whole with and without script, in light and dark, on a phone, small, accessible, and harmless.

import { axe, login, must, paths, places, window_ } from "./browser.mjs";
import { until } from "./seed.mjs";

const KIB_MAX = 150;

// What a page shows that is not a text.
async function harm(page) {
  return page.evaluate(() => {
    const strange = [...document.querySelectorAll("main script, main iframe, main base, main meta, main img, main [onload], main [onerror], main [onmouseover], [style], a[href^='javascript:' i], form[action^='http']")];
    return { harmed: window.harmed ?? null, strange: strange.map((element) => element.outerHTML.slice(0, 200)) };
  });
}

async function everyPage(call, ids, options) {
  const { context, page, faults } = await window_(options);
  await login(page, places.api, "ops");
  const all = [...paths(ids), "/docs"];
  const operations = (await call("GET", "/v1/operations")).operations;
  if (operations[0]) all.push(`/ui/operations/${operations[0].id}`);
  for (const path of all) {
    const response = await page.goto(places.api + path);
    must(response.status() === 200, `${path} answers ${response.status()}`);
    must((await page.title()).endsWith("· Tidegate"), `${path} has the title ${await page.title()}`);
    must((await page.locator("h1").count()) === 1, `${path} has not one heading`);
    if (options.script === false) continue;
    const { harmed, strange } = await harm(page);
    must(harmed === null && strange.length === 0, `${path} is harmed: ${harmed} ${strange}`);
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    must(width[0] <= width[1], `${path} is ${width[0]} wide in a window of ${width[1]}`);
    const found = await axe(page);
    must(found.length === 0, `axe on ${path}: ${found.join("\n")}`);
    for (const link of await page.locator("main a[href]").all()) {
      const href = await link.getAttribute("href");
      must(/^(\/|#)/.test(href), `${path} leads to ${href}`);
    }
  }
  must(faults.length === 0, faults.join("\n"));
  await context.close();
}

// What one look at a page loads.
async function sizes(ids) {
  const { context, page } = await window_();
  await login(page, places.api, "ops");
  for (const path of paths(ids)) {
    let bytes = 0;
    const loads = [];
    const count = (response) => { if (!response.url().includes("/ui/live")) loads.push(response.body().then((body) => { bytes += body.length; }).catch(() => {})); };
    page.on("response", count);
    await page.goto(places.api + path, { waitUntil: "load" });
    page.off("response", count);
    await Promise.all(loads);
    must(bytes <= KIB_MAX * 1024, `${path} loads ${bytes} bytes`);
  }
  await context.close();
}

// A page follows what happens, and leaves alone what somebody writes.
async function live(call, ids) {
  const { context, page, faults } = await window_();
  await login(page, places.api, "ops");
  await page.goto(`${places.api}/ui/queues/erp`);
  await page.fill(".step input[name=reason] >> nth=0", "somebody writes this");
  const ready = page.locator(".states a.s-ready b");
  const before = Number(await ready.textContent());
  await call("POST", "/v1/queues/erp/messages", { payload: "more" });
  await until("the page shows one more", async () => Number(await ready.textContent()) === before + 1, 90000);
  must((await page.inputValue(".step input[name=reason] >> nth=0")) === "somebody writes this", "what somebody writes is lost");
  must((await page.textContent("#live-state")) === "live", "the page does not say that it is followed");
  // A text with every kind of line end is followed too.
  await page.goto(`${places.api}/ui/messages/${ids.text}`);
  await until("a message is followed", async () => (await page.textContent("#live-state")) === "live");
  must(faults.length === 0, faults.join("\n"));
  await context.close();
}

// The keys that lead to pages.
async function keys() {
  const { context, page } = await window_();
  await login(page, places.api, "ops");
  for (const [key, path] of [["m", "/ui/messages"], ["d", "/ui/dead"], ["h", "/ui/health"], ["q", "/"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await page.waitForURL((url) => url.pathname === `/tidegate${path}`, { timeout: 5000 }).catch(() => {
      throw new Error(`g ${key} leads to ${page.url()}`);
    });
    await page.waitForLoadState();
  }
  await page.keyboard.press("/");
  await page.keyboard.type("erp");
  await page.keyboard.press("Enter");
  await page.waitForURL(/name=erp/);
  must((await page.locator(".queues tbody tr").count()) === 1, "the search finds more than one queue");
  await page.keyboard.press("Tab");
  must((await page.evaluate(() => document.activeElement.textContent)) === "Skip to the content", "the first stop is not the way to the content");
  await context.close();
}

// The reason, the count and the filters of a search.
async function search() {
  const { context, page } = await window_({ script: false });
  await login(page, places.api, "ops");
  await page.goto(`${places.api}/ui/messages`);
  await page.selectOption("select[name=queue]", "letters");
  await page.check("input[value=dead]");
  await page.fill("input[name=label]", "shop=eu");
  await page.click(".filters button");
  must(/queue=letters.*state=dead.*label=shop%3Deu/.test(page.url()), `the filters are not in the url: ${page.url()}`);
  must((await page.textContent(".count")).includes("30 of 30 looked at"), await page.textContent(".count"));
  must((await page.locator(".messages tbody tr").count()) === 30, "not every message is found");
  must((await page.locator(".messages .why >> nth=0").textContent()).includes("422"), "the reason is not in the list");
  await page.goto(`${places.api}/ui/messages?queue=slow&state=ready`);
  must(/^50 of \d+ looked at/.test(await page.textContent(".count")), await page.textContent(".count"));
  await page.click("a[rel=next]");
  must((await page.locator(".messages tbody tr").count()) >= 5, "the next page is empty");
  await context.close();
}

// What the page says of the API is what the document says.
async function docs(call) {
  const { context, page } = await window_({ script: false });
  await login(page, places.api, "ops");
  await page.goto(`${places.api}/docs`);
  const document_ = await call("GET", "/openapi.json");
  const text = await page.content();
  let count = 0;
  for (const item of Object.values(document_.paths))
    for (const { operationId } of Object.values(item)) {
      must(text.includes(`id="${operationId}"`), `/docs lacks ${operationId}`);
      count += 1;
    }
  must(count > 50, `only ${count} routes`);
  for (const name of Object.keys(document_.components.schemas)) must(text.includes(`id="s-${name}"`), `/docs lacks the shape ${name}`);
  await context.close();
}

export function pageChecks(call, ids) {
  return [
    ["every page in light", () => everyPage(call, ids, {})],
    ["every page in dark", () => everyPage(call, ids, { dark: true })],
    ["every page on a phone", () => everyPage(call, ids, { phone: true })],
    ["every page without script", () => everyPage(call, ids, { script: false })],
    ["the size of every page", () => sizes(ids)],
    ["a page is followed", () => live(call, ids)],
    ["keys lead to pages", () => keys()],
    ["a search", () => search()],
    ["the page of the API", () => docs(call)],
  ];
}

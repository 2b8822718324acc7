// Every step, by mouse with script and by keyboard without, and what the API says afterwards.

import { must, places, window_ } from "./browser.mjs";
import { CORPUS, until } from "./seed.mjs";

// Presses the button of a form: with the mouse, or with the keyboard alone.
async function press(page, button, byKeyboard) {
  if (!byKeyboard) return button.click();
  await button.focus();
  must(await button.evaluate((element) => element === document.activeElement), "a button cannot be reached by keyboard");
  const shown = page.waitForNavigation();
  await page.keyboard.press("Enter");
  await shown;
}

// Fills fields by their names: with the keyboard alone where that is asked for.
async function fill(page, form, fields, byKeyboard) {
  for (const [name, value] of Object.entries(fields)) {
    const field = form.locator(`[name="${name}"]`);
    const tag = await field.evaluate((element) => element.tagName + (element.type ?? ""));
    if (tag.startsWith("SELECT")) await field.selectOption(value);
    else if (tag === "INPUTcheckbox") await field.check();
    else if (byKeyboard) {
      await field.focus();
      await page.keyboard.press("Control+a");
      await page.keyboard.insertText(value);
    } else await field.fill(value);
  }
}

// Does a step on a page: the form that ends in this path, with these fields.
async function step(page, byKeyboard, place, ends, fields = {}, label = null) {
  await page.goto(places.open + place);
  const form = page.locator(`main form[action$="${ends}"]`).first();
  await fill(page, form, fields, byKeyboard);
  const button = label ? form.locator(`button:text-is("${label}")`) : form.locator("button").last();
  await press(page, button, byKeyboard);
  await page.waitForLoadState();
  if (await page.locator(".problem").count()) throw new Error(`${place} ${ends}: ${await page.textContent(".problem")}`);
}

async function queueSteps(call, page, byKeyboard) {
  const at = "/ui/queues/sms";
  await step(page, byKeyboard, at, "/pause", { for: "30m", reason: CORPUS[0] });
  const paused = (await call("GET", "/v1/queues/sms")).paused;
  must(paused.reason === CORPUS[0] && paused.by === "anonymous" && paused.until, JSON.stringify(paused));
  must((await page.textContent("[role=status]")).includes("paused"), "the page does not say what was done");
  await step(page, byKeyboard, at, "/resume");
  must((await call("GET", "/v1/queues/sms")).paused === null, "the queue is still paused");
  const overrides = [
    [{ kind: "rate", value: "5/s" }, "rate", "5/s"],
    [{ kind: "concurrency", value: "4" }, "concurrency", "4"],
    [{ kind: "window", value: "closed" }, "window", "closed"],
    [{ kind: "limit", limit: "contract", value: "100/day" }, "limit:contract", "100/day"],
    [{ kind: "limit", limit: "per_to", value: "1/h" }, "limit:per_to", "1/h"],
  ];
  for (const [fields, kind, value] of overrides) {
    await step(page, byKeyboard, at, "/override", { ...fields, for: "1h", reason: CORPUS[1] });
    const found = (await call("GET", "/v1/queues/sms/overrides")).overrides.find((it) => it.kind === kind);
    must(found?.value === value && found.reason === CORPUS[1], `${kind}: ${JSON.stringify(found)}`);
  }
  for (const _ of overrides) await step(page, byKeyboard, at, "/end-override");
  must((await call("GET", "/v1/queues/sms/overrides")).overrides.length === 0, "an override has not ended");
  await step(page, byKeyboard, at, "/try", { body: JSON.stringify({ text: CORPUS[1] }) });
  must((await page.textContent("h1")).includes("Test call") && (await page.textContent("main")).includes("delivered"), "the test call is not shown");
  must((await page.textContent("main pre >> nth=1")) === CORPUS[0], "the answer of the downstream is not shown as it is");
}

async function messageSteps(call, page, byKeyboard) {
  const made = async (queue, body) => (await call("POST", `/v1/queues/${queue}/messages`, body)).id;
  const state = async (id) => (await call("GET", `/v1/messages/${id}?view=full`));
  const is = (id, word) => until(`${id} is ${word}`, async () => (await state(id)).state === word);
  const id = await made("sms", { payload: { a: 1 }, delay: "2h" });
  const at = `/ui/messages/${id}`;
  await step(page, byKeyboard, at, "/reschedule", { delay: "5h", priority: "3" });
  must((await state(id)).priority === 3 && Date.parse((await state(id)).due_at) > Date.now() + 4 * 3600e3, "it is not rescheduled");
  await step(page, byKeyboard, at, "/edit", { payload: '{"b": 2.50}' });
  must(JSON.stringify((await state(id)).payload) === '{"b":2.5}' && (await state(id)).edited, "the payload is not changed");
  await page.goto(places.open + at);
  await step(page, byKeyboard, at, "/cancel");
  await is(id, "cancelled");
  await step(page, byKeyboard, at, "/requeue");
  await is(id, "delivered");
  const soon = await made("sms", { payload: 1, delay: "2h" });
  await step(page, byKeyboard, `/ui/messages/${soon}`, "/run");
  await is(soon, "delivered");
  const text = await made("sms", { payload: "x", content_type: "text/plain", delay: "2h" });
  await step(page, byKeyboard, `/ui/messages/${text}`, "/edit", { payload: CORPUS[3] });
  must((await state(text)).payload === CORPUS[3], `the text is not changed: ${(await state(text)).payload}`);
  await step(page, byKeyboard, `/ui/messages/${text}`, "/cancel");
  for (const [as, word] of [["delivered", "delivered"], ["dead", "dead"], ["resend", "uncertain"]]) {
    const doubtful = await made("doubtful", { payload: as });
    await is(doubtful, "uncertain");
    await step(page, byKeyboard, `/ui/messages/${doubtful}`, "/resolve", { as, reason: CORPUS[0] });
    await is(doubtful, word);
  }
  await call("POST", "/v1/queues/receipts/resume", {});
  const accepted = await made("receipts", { payload: 1 });
  await is(accepted, "accepted");
  await step(page, byKeyboard, `/ui/messages/${accepted}`, "/receipt", { as: "delivered", reason: "seen" });
  await is(accepted, "delivered");
  await page.goto(`${places.open}/ui/messages/${accepted}`);
  must((await page.locator(".step").count()) === 0, "a delivered message offers steps");
}

async function manySteps(call, page, byKeyboard) {
  const dead = async () => (await call("GET", "/v1/queues/letters")).counts.dead;
  await until("letters are dead", dead);
  await step(page, byKeyboard, "/ui/dead?queue=letters", "/start-operation", { rate: "50/s", reason: "again" }, "Preview sending again");
  await until("the preview is done", async () => { await page.reload(); return (await page.textContent(".head")).includes("done"); });
  must(Number((await page.textContent(".tiles dd >> nth=1")).replace(",", "")) > 0, "the preview matches nothing");
  must((await page.locator("main li a.id").count()) > 0, "the preview shows no message");
  const form = page.locator('main form[action$="/carry-out"]');
  await press(page, form.locator("button"), byKeyboard);
  await page.waitForURL(/\/ui\/operations\/[^?]+$/);
  await until("the operation is done", async () => { await page.reload(); return (await page.textContent(".head")).includes("done"); });
  must(Number(await page.textContent(".tiles dd >> nth=2")) > 0, "the operation has done nothing");
  // The letters are refused again; an operation that is slow can be stopped.
  await until("letters are dead again", async () => (await dead()) > 5);
  await step(page, byKeyboard, "/ui/operations?queue=letters&state=dead", "/start-operation", { all: "1", rate: "1/min" }, "Start");
  await step(page, byKeyboard, new URL(page.url()).pathname, "/stop");
  await until("the operation has stopped", async () => { await page.reload(); return (await page.textContent(".head")).includes("stopped"); });
}

async function otherSteps(call, page, byKeyboard) {
  const nightly = () => call("GET", "/v1/schedules/nightly");
  await step(page, byKeyboard, "/ui/schedules", "/pause", { reason: CORPUS[1] });
  must((await nightly()).paused.reason === CORPUS[1], "the schedule is not paused");
  await step(page, byKeyboard, "/ui/schedules", "/resume");
  must((await nightly()).paused === null, "the schedule is still paused");
  const waiting = async () => (await call("GET", "/v1/queues/erp")).counts.ready;
  const before = await waiting();
  await step(page, byKeyboard, "/ui/schedules", "/run");
  must((await waiting()) === before + 1, "the schedule has not run");
  const used = async () => (await call("GET", "/v1/limits/brand")).used;
  const units = await used();
  await step(page, byKeyboard, "/ui/limits", "/charge", { units: "1500", reason: CORPUS[0] });
  must((await used()) >= units + 1500, "the units are not counted");
  await step(page, byKeyboard, "/ui/limits", "/charge", { units: "-1500", reason: "back" });
  await page.goto(`${places.open}/ui/audit`);
  const audit = await page.textContent("main");
  for (const word of ["pause", "override", "resolve", "charge limit", "start operation", "stop operation"]) must(audit.includes(word), `the audit lacks ${word}`);
}

// What was refused is said, and what was written can be corrected.
async function refusals(page) {
  await page.goto(`${places.open}/ui/queues/sms`);
  await page.fill('form[action$="/pause"] [name=for]', "soon");
  await page.click('form[action$="/pause"] button');
  await page.waitForSelector(".problem");
  must((await page.textContent(".problem")).includes("soon"), await page.textContent(".problem"));
  must((await page.goto(`${places.open}/ui/queues/nosuch`)).status() === 404, "a queue that is not there is shown");
}

export function stepChecks(call) {
  const all = [];
  for (const [how, byKeyboard] of [["by mouse and with script", false], ["by keyboard and without script", true]]) {
    const run = (steps) => async () => {
      const { context, page, faults } = await window_({ script: !byKeyboard });
      await steps(call, page, byKeyboard);
      must(faults.length === 0, faults.join("\n"));
      await context.close();
    };
    all.push([`steps on a queue ${how}`, run(queueSteps)]);
    all.push([`steps on a message ${how}`, run(messageSteps)]);
    all.push([`steps on many messages ${how}`, run(manySteps)]);
    all.push([`steps on the rest ${how}`, run(otherSteps)]);
  }
  all.push(["refusals", async () => { const { context, page } = await window_(); await refusals(page); await context.close(); }]);
  return all;
}

// The pictures of the manual, made of pages that run.

import { join } from "node:path";
import { must, places, window_ } from "./browser.mjs";
import { client, until } from "./seed.mjs";

// A day in which a gateway is slow, an ERP system is closed, and a bank does not answer.
async function day(call) {
  await until("the daemon of the pictures is ready", () => call("GET", "/readyz"));
  const many = (queue, count, item) => call("POST", `/v1/queues/${queue}/messages/batch`, Array.from({ length: count }, (_, n) => item(n)));
  const number = (n) => `+4915112${String(340000 + n)}`;
  await many("sms", 6000, (n) => ({ payload: { to: number(n), text: "Your table is ready." }, labels: { to: number(n) } }));
  await many("sms", 40, (n) => ({ payload: { to: number(n), text: "See you tomorrow." }, delay: "20h", labels: { to: number(n) } }));
  await many("erp", 1240, (n) => ({ payload: { order: 48000 + n } }));
  await many("mails", 300, (n) => ({ payload: { to: `guest${n}@example.com` } }));
  const faults = ["unknown recipient", "unknown recipient", "unknown recipient", "the text is too long", "the country is not served"];
  await many("letters", 46, (n) => ({ payload: { to: `Guest ${n}`, fault: faults[n % 5] }, labels: { shop: n % 2 ? "eu" : "us" } }));
  await many("push", 12, (n) => ({ payload: { device: n } }));
  await call("POST", "/v1/queues/push/pause", { for: "2h", reason: "the gateway is being moved" });
  const { id } = await call("POST", "/v1/queues/payments/messages", { payload: { invoice: 7311, amount: "120.00" }, group: "order-7311", labels: { shop: "eu" } });
  await many("payments", 8, (n) => ({ payload: { invoice: 7400 + n } }));
  await until("the bank fails", async () => (await call("GET", "/v1/queues/payments")).failing);
  await until("a message has been tried some times", async () => (await call("GET", `/v1/messages/${id}`)).attempts >= 3);
  await until("the letters are dead", async () => (await call("GET", "/v1/queues/letters")).counts.dead === 46);
  // The nodes add up once a minute what they have seen.
  await until("the history of a queue shows something", async () => (await call("GET", "/v1/queues/sms/history")).delivered.some((count) => count > 0), 90000);
  return id;
}

export async function pictures() {
  const id = await day(client(places.show));
  const pages = [
    ["queues", "/"],
    ["queue", "/ui/queues/sms"],
    ["messages", "/ui/messages?queue=letters&state=dead"],
    ["message", `/ui/messages/${id}`],
    ["dead", "/ui/dead?queue=letters"],
    ["health", "/ui/health"],
  ];
  for (const [dark, ending] of [[false, ""], [true, "-dark"]]) {
    const { context, page } = await window_({ dark });
    await page.setViewportSize({ width: 1280, height: 800 });
    for (const [name, path] of dark ? pages.slice(0, 1) : pages) {
      // Twice: the zone of the browser is known from the second page on.
      await page.goto(places.show + path);
      await page.reload();
      must((await page.locator("h1").count()) === 1, `the picture of ${path} shows a problem`);
      await page.screenshot({ path: join(places.folder, "pictures", `${name}${ending}.png`) });
    }
    await context.close();
  }
  const { context, page } = await window_({ phone: true });
  await page.goto(places.show);
  await page.screenshot({ path: join(places.folder, "pictures", "phone.png") });
  await context.close();
}

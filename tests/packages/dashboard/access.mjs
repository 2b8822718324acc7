// Who may see and do what: sessions, scopes, queues, forms of other sites, other names of this machine, and proxies.

import { request } from "node:http";
import { login, must, places, token, window_ } from "./browser.mjs";
import { until } from "./seed.mjs";

// A request with any headers, which fetch does not allow.
function raw(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers }, (response) => {
      let text = "";
      response.on("data", (chunk) => { text += chunk; });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function session() {
  const { context, page } = await window_();
  await page.goto(`${places.api}/ui/queues/sms`);
  must(page.url().includes("/ui/login?next="), "a page is shown without a token");
  await page.fill("input[name=token]", "wrong");
  await page.click("main button");
  must((await page.textContent("[role=alert]")).includes("not known"), "a wrong token is not refused");
  await page.goto(`${places.api}/ui/login?next=${encodeURIComponent("/ui/queues/sms")}`);
  await page.fill("input[name=token]", token("ops"));
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ui\/queues\/sms$/);
  const [cookie] = (await context.cookies()).filter((found) => found.name === "tidegate_session");
  must(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.secure, JSON.stringify(cookie));
  must(!(await page.evaluate(() => document.cookie)).includes("tidegate_session"), "a script can read the token");
  must(!(await page.content()).includes(token("ops")), "the page shows the token");
  const secure = await raw(`${places.api}/ui/login`, { method: "POST", headers: { Origin: "https://ops.example", Host: "ops.example", "Content-Type": "application/x-www-form-urlencoded" }, body: `token=${token("ops")}` });
  must(/; Secure/.test(secure.headers["set-cookie"][0]), "the cookie of https is not secure");
  await page.click("text=Sign out");
  await page.goto(`${places.api}/`);
  must(page.url().includes("/ui/login"), "the session has not ended");
  await context.close();
}

// A link of another site: the browser does not send the cookie with it, and the page comes all the same.
async function linked() {
  const { context, page } = await window_();
  const local = places.api.replace("127.0.0.1", "localhost");
  await login(page, local, "ops");
  await page.goto(`http://127.0.0.1:${places.downstream}/page`);
  await page.evaluate((href) => { const a = document.createElement("a"); a.href = href; a.textContent = "x"; document.body.append(a); a.click(); }, `${local}/ui/health`);
  await page.waitForSelector("h1");
  must((await page.textContent("h1")) === "Health", `a link of another site shows ${await page.textContent("h1")}`);
  await context.close();
}

// Forms that come from elsewhere do nothing.
async function forged(call) {
  const cookie = `tidegate_session=${Buffer.from(token("ops")).toString("base64url")}`;
  const form = { "Content-Type": "application/x-www-form-urlencoded", Cookie: cookie };
  const host = new URL(places.api).host;
  const tries = [
    ["without what binds it to the session", { ...form, Host: host, Origin: `http://${host}` }, "reason=x"],
    ["of another session", { ...form, Host: host, Origin: `http://${host}` }, "form_token=AAAA"],
  ];
  const page = await raw(`${places.api}/ui/queues/sms`, { headers: { Cookie: cookie } });
  const good = /name="form_token" value="([^"]+)"/.exec(page.text)[1];
  tries.push(["of another site, by its origin", { ...form, Host: host, Origin: "https://evil.example" }, `form_token=${good}`]);
  tries.push(["of another site, by what the browser says", { ...form, Host: host, "Sec-Fetch-Site": "cross-site" }, `form_token=${good}`]);
  tries.push(["of a sandboxed frame", { ...form, Host: host, Origin: "null" }, `form_token=${good}`]);
  for (const [what, headers, body] of tries) {
    const { status } = await raw(`${places.api}/ui/queues/sms/pause`, { method: "POST", headers, body });
    must(status === 403, `a form ${what} is answered ${status}`);
  }
  must((await call("GET", "/v1/queues/sms")).paused === null, "a forged form has paused the queue");
  const { status } = await raw(`${places.api}/ui/queues/sms/pause`, { method: "POST", headers: { ...form, Host: host, Origin: `http://${host}` }, body: `form_token=${good}` });
  must(status === 303, `an honest form is answered ${status}`);
  await call("POST", "/v1/queues/sms/resume", {});
}

// Without tokens only this machine's own pages may look: a foreign name for 127.0.0.1 gives itself away.
async function rebinding() {
  for (const path of ["/", "/ui/queues/sms", "/ui/login", "/docs", "/ui/live?page=/"]) {
    const answer = await raw(places.open + path, { headers: { Host: "evil.example" } });
    must(answer.status === 403, `${path} answers ${answer.status} to a foreign name`);
  }
  const { context, page } = await window_();
  await page.goto(places.open);
  must((await page.textContent(".holder")).includes("no tokens"), "the page does not say that there are no tokens");
  await context.close();
}

async function scopes(call, ids) {
  const { context, page } = await window_({ script: false });
  await login(page, places.api, "viewer");
  for (const path of ["/ui/queues/sms", `/ui/messages/${ids.dead}`, "/ui/operations", "/ui/schedules", "/ui/dead?queue=letters", "/ui/limits"]) {
    await page.goto(places.api + path);
    must((await page.locator("main form[method=post]").count()) === 0, `${path} offers steps to a token that may only read`);
  }
  must((await page.textContent("footer")).includes("Scopes: read. All queues."), "the scopes are not shown");
  await page.goto(`${places.api}/ui/queues/sms`);
  must((await page.textContent("main")).includes("lacks the scope operate"), "the page does not say which scope is needed");
  const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const host = new URL(places.api).host;
  const token_ = /name="form_token" value="([^"]+)"/.exec(await page.content())[1];
  const answer = await raw(`${places.api}/ui/queues/sms/pause`, { method: "POST", headers: { Cookie: cookie, Host: host, Origin: `http://${host}`, "Content-Type": "application/x-www-form-urlencoded" }, body: `form_token=${token_}` });
  must(answer.status === 403 && answer.text.includes("lacks the scope"), `a step without the scope is answered ${answer.status}`);
  await context.clearCookies();
  await login(page, places.api, "part");
  await page.goto(places.api);
  must((await page.locator(".queues tbody tr").count()) === 1, "a token of one queue sees others");
  for (const path of ["/ui/queues/erp", `/ui/messages/${ids.dead}`, "/ui/messages?queue=erp"]) {
    must((await page.goto(places.api + path)).status() === 404, `${path} is shown to a token of another queue`);
  }
  must((await page.goto(`${places.api}/ui/audit`)).status() === 200, "the audit is not cut but refused");
  await context.close();
}

// Behind nginx, which leaves the path in the requests, or removes it.
async function proxied(call, ids) {
  for (const name of ["localhost", "127.0.0.1"]) {
    const { context, page, faults } = await window_();
    const url = `http://${name}:${places.proxy}/tidegate`;
    await page.goto(`${url}/`);
    must(page.url().startsWith(`${url}/ui/login`), `${url} leads to ${page.url()}`);
    await login(page, url, "ops");
    for (const path of ["/", "/ui/queues/erp", "/ui/messages?queue=slow&state=ready", `/ui/messages/${ids.dead}`, "/ui/dead", "/docs"]) {
      must((await page.goto(url + path)).status() === 200, `${url}${path}`);
      const links = await page.evaluate(() => [...document.querySelectorAll("a[href], form[action], link[href], script[src]")].map((it) => it.getAttribute("href") ?? it.getAttribute("action") ?? it.getAttribute("src")));
      const wrong = links.filter((link) => !link.startsWith("/tidegate/") && !link.startsWith("#"));
      must(wrong.length === 0, `${path} leads out of the path: ${wrong}`);
    }
    await page.goto(`${url}/ui/queues/erp`);
    await page.click(".step button:text('Pause')");
    await page.waitForURL(`${url}/ui/queues/erp?note=paused`);
    await until("the page is followed", async () => (await page.textContent("#live-state")) === "live");
    await page.click(".step button:text('Resume')");
    await page.waitForURL(`${url}/ui/queues/erp?note=resumed`);
    must((await call("GET", "/v1/queues/erp")).paused === null, "the queue is still paused");
    must((await raw(`${url}/v1/queues`, { headers: { Authorization: `Bearer ${token("ops")}` } })).status === 200, "the API is not below the path");
    must(faults.length === 0, faults.join("\n"));
    await context.close();
  }
}

// Pages of other origins read the API only where the configuration names them.
async function origins() {
  const { context, page } = await window_();
  const read = (url) => page.evaluate((url) => fetch(url, { headers: { "Idempotency-Key": "x" } }).then((answer) => answer.status, () => "refused"), url);
  await page.goto(`http://localhost:${places.downstream}/page`);
  must((await read(`${places.open}/v1/queues`)) === 200, "a named origin is refused");
  must((await read(`${places.api}/v1/queues`)) === "refused", "an origin that nobody named can read the API");
  await page.goto(`http://127.0.0.1:${places.downstream}/page`);
  must((await read(`${places.open}/v1/queues`)) === "refused", "another origin can read the API");
  await context.close();
}

export function accessChecks(call, ids) {
  return [
    ["a session", () => session()],
    ["a link of another site", () => linked()],
    ["forms of other sites do nothing", () => forged(call)],
    ["a foreign name for this machine is refused", () => rebinding()],
    ["scopes and queues of tokens", () => scopes(call, ids)],
    ["behind nginx under a path", () => proxied(call, ids)],
    ["origins of other pages", () => origins()],
  ];
}

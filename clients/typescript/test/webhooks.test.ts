// Signatures: against calls that the daemon has signed, and published vectors.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { InvalidSignature, Webhook } from "tidegate";

import { afresh, NEXT_SECRET, SECRET, world, type Received, type World } from "./support.js";

let it: World;
before(async () => void (it = await world()));
beforeEach(() => afresh(it));
after(() => it.end());

const WRONG = "whsec_plJ3nmyCDGBKInavdOK15jsl";

async function delivered(queue: string): Promise<Received> {
  const sent = await it.client.send(queue, { text: "Grüße" });
  assert.equal((await it.client.waitUntilFinal(sent.id, { timeoutMs: 20_000 })).state, "delivered");
  return it.downstream.only();
}

test("a delivery is verified", async () => {
  const { headers, body } = await delivered("sms");
  const call = await new Webhook(SECRET).verify(headers, body);
  assert.equal(call.id, headers["webhook-id"]);
  assert.deepEqual(call.json(), { text: "Grüße" });
  const ofFetch = new Headers();
  for (const [name, value] of Object.entries(headers)) ofFetch.set(name, String(value));
  assert.equal((await new Webhook([WRONG, SECRET]).verify(ofFetch, body.toString())).id, call.id);
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
  assert.equal((await new Webhook(SECRET).verify(upper, new Uint8Array(body).buffer)).timestampS, call.timestampS);
});

test("what is not right is refused", async () => {
  const { headers, body } = await delivered("sms");
  const webhook = new Webhook(SECRET);
  const atS = Number(headers["webhook-timestamp"]);
  const refused = (given: typeof headers, of: Uint8Array, why: RegExp, nowS = atS, by = webhook) =>
    assert.rejects(by.verify(given, of, { nowMs: nowS * 1000 }), (error) => {
      return error instanceof InvalidSignature && why.test(error.message);
    });
  await refused(headers, body, /no signature/, atS, new Webhook(WRONG));
  await refused(headers, Buffer.concat([body, Buffer.from(" ")]), /no signature/);
  await refused({ ...headers, "webhook-id": "sms_x" }, body, /no signature/);
  await refused({ ...headers, "webhook-timestamp": String(atS + 1) }, body, /no signature/);
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    await refused({ ...headers, [name]: undefined }, body, new RegExp(`no ${name}`));
  }
  await refused(headers, body, /clock/, atS - 301);
  await refused(headers, body, /clock/, atS + 301);
  assert.ok(await webhook.verify(headers, body, { nowMs: (atS + 299) * 1000 }));
  const patient = new Webhook(SECRET, { toleranceS: 1_000 });
  assert.ok(await patient.verify(headers, body, { nowMs: (atS + 999) * 1000 }));
  for (const odd of ["soon", "-1", "1e9", "٣", "9".repeat(30), `${atS}.0`]) {
    await refused({ ...headers, "webhook-timestamp": odd }, body, /./);
  }
  const right = String(headers["webhook-signature"]);
  for (const odd of ["v1,", "v1", right.slice(0, -2), right.replace("v1,", "v1a,"), right.slice(3), "v1,ü", "v1,===="]) {
    await refused({ ...headers, "webhook-signature": odd }, body, /no signature/);
  }
});

test("a secret that is being changed", async () => {
  const { headers, body } = await delivered("rotated");
  const given = String(headers["webhook-signature"]);
  assert.equal(given.match(/v1,/g)?.length, 2);
  for (const secrets of [SECRET, NEXT_SECRET, [SECRET, NEXT_SECRET], [WRONG, NEXT_SECRET]]) {
    assert.ok(await new Webhook(secrets).verify(headers, body));
  }
  await assert.rejects(new Webhook([WRONG]).verify(headers, body), InvalidSignature);
  const joined = { ...headers, "webhook-signature": given.replace(" ", ", ") };
  assert.ok(await new Webhook(SECRET).verify(joined, body));
  assert.ok(await new Webhook(SECRET).verify({ ...headers, "webhook-signature": given.split(" ") }, body));
});

test("a call that is not signed, and bytes", async () => {
  const { headers, body } = await delivered("unsigned");
  await assert.rejects(new Webhook(SECRET).verify(headers, body), /signing_secret/);
  afresh(it);
  await it.client.send("sms", Uint8Array.of(0, 255));
  const bytes = await it.downstream.only();
  assert.deepEqual((await new Webhook(SECRET).verify(bytes.headers, bytes.body)).body, Uint8Array.of(0, 255));
});

test("published vectors", async () => {
  const headers = {
    "webhook-id": "msg_loFOjxBNrRLzqYUf",
    "webhook-timestamp": "1731705121",
    "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
  };
  const body = '{"event_type":"ping","data":{"success":true}}';
  assert.ok(await new Webhook(WRONG).verify(headers, body, { nowMs: 1731705121_000 }));
});

test("secrets that are none, and a body that was read", async () => {
  for (const odd of ["", "whsec_", "whsec_not base64!", []]) assert.throws(() => new Webhook(odd), /give/);
  assert.ok(!JSON.stringify(new Webhook(WRONG)).includes("plJ3"));
  const parsed = { a: 1 } as unknown as string;
  await assert.rejects(new Webhook(SECRET).verify({}, parsed), /as it came in/);
});

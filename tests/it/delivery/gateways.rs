//! The examples of config/examples, played against downstreams that speak as such gateways do.

use http::Method;
use serde_json::{Value, json};

use crate::support::downstream::Request;
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, RedisServer};

const PAYLOAD: &str = "Grüße & \"mehr\" <b>\nzwei";

struct Gateway {
    daemon: Daemon,
    downstream: Downstream,
    _redis: RedisServer,
}

impl Gateway {
    /// The example as it stands, but for the gateway's address.
    async fn start(example: &str) -> Self {
        let path = format!("{}/config/examples/{example}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("the example is there");
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        assert!(text.contains("https://gateway.example"), "{example} has the address");
        let text = text.replace("https://gateway.example", &downstream.url(""));
        let mut options = Daemon::with(text).redis(&redis);
        for (name, value) in [
            ("SMS_TOKEN", "hush-token"),
            ("SMS_BASIC", "aHVzaA=="),
            ("SMS_USER", "shop"),
            ("SMS_PASSWORD", "hush & <\""),
        ] {
            // What stands in a url is written as a url has it; the XML is the operator's as well.
            let value = if example == "soap" || example == "get-text" {
                value.replace("hush & <\"", "hush%26")
            } else {
                value.to_owned()
            };
            options = options.environment(name, &value);
        }
        Self { daemon: options.start().await, downstream, _redis: redis }
    }

    async fn send(&self, to: &str) -> String {
        let message = json!({ "payload": { "to": to, "text": PAYLOAD } });
        self.daemon.send("sms", &message).await
    }

    async fn state(&self, id: &str, state: &str) -> Value {
        poll_until(&format!("{id} is {state}"), async || {
            let message = self.daemon.message(id).await;
            (message["state"] == state).then_some(message)
        })
        .await
    }

    async fn receipt(&self, method: Method, query: &str, content_type: &str, body: &str) -> Value {
        let path = format!("/v1/queues/sms/receipts{query}");
        let headers = [("Content-Type", content_type)];
        let reply = self.daemon.http().send(method, &path, &headers, body.to_owned()).await;
        reply.expect(200).json()
    }

    async fn only_call(&self) -> Request {
        let calls = self.downstream.wait_for(1).await;
        assert_eq!(calls.len(), 1);
        calls[0].clone()
    }
}

#[tokio::test]
async fn a_json_api_is_called_and_reports_as_json() {
    let gateway = Gateway::start("json-api").await;
    gateway.downstream.once(Answer::status(201).json(&json!({ "id": "m-1", "status": "queued" })));
    let id = gateway.send("+49301").await;
    let call = gateway.only_call().await;
    assert_eq!((&*call.method, &*call.path), ("POST", "/v2/messages"));
    assert_eq!(call.header("authorization"), Some("Bearer hush-token"));
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("idempotency-key"), Some(&*id));
    let expected = json!({ "from": "Shop", "to": "+49301", "text": PAYLOAD, "client_ref": id, "flash": false });
    assert_eq!(call.json(), expected);
    assert_eq!(gateway.state(&id, "accepted").await["ref"], "m-1");

    let json = "application/json";
    let on_its_way =
        json!({ "id": "m-1", "client_ref": id, "status": "sent", "x": [1] }).to_string();
    let told = gateway.receipt(Method::POST, "", json, &on_its_way).await;
    assert_eq!(told, json!({ "verdict": "ignored" }));
    assert_eq!(gateway.daemon.message(&id).await["state"], "accepted");
    let failed = json!({ "id": "m-1", "client_ref": id, "status": "failed", "reason": "off" });
    let told = gateway.receipt(Method::POST, "", json, &failed.to_string()).await;
    assert_eq!(told, json!({ "verdict": "ok", "id": id, "state": "dead" }));
    assert_eq!(gateway.state(&id, "dead").await["reason"], "off");

    gateway.downstream.once(
        Answer::status(422).json(&json!({ "error": { "code": "x", "message": "no such number" } })),
    );
    let id = gateway.send("nobody").await;
    let error = gateway.state(&id, "dead").await["last_attempt"]["error"].clone();
    assert!(error.as_str().unwrap().contains("no such number"), "{error}");
}

#[tokio::test]
async fn a_form_api_is_called_and_reports_with_a_form() {
    let gateway = Gateway::start("form-api").await;
    gateway.downstream.once(Answer::status(201).json(&json!({ "sid": "SM1" })));
    let id = gateway.send("+49301").await;
    let call = gateway.only_call().await;
    assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(call.header("authorization"), Some("Basic aHVzaA=="));
    let pairs: Vec<_> = url::form_urlencoded::parse(&call.body).into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(pairs, [pair("From", "+4930999999"), pair("To", "+49301"), pair("Body", PAYLOAD)]);
    assert_eq!(gateway.state(&id, "accepted").await["ref"], "SM1");
    let form = "application/x-www-form-urlencoded";
    let sent = "SmsSid=SM1&MessageSid=SM1&MessageStatus=sent&From=%2B49";
    let told = gateway.receipt(Method::POST, "", form, sent).await;
    assert_eq!(told["verdict"], "ignored");
    let done = "MessageSid=SM1&MessageStatus=delivered&ErrorCode=";
    let told = gateway.receipt(Method::POST, "", form, done).await;
    assert_eq!(told, json!({ "verdict": "ok", "id": id, "state": "delivered" }));
    gateway.state(&id, "delivered").await;
}

#[tokio::test]
async fn a_gateway_is_called_with_get_answers_in_text_and_reports_with_get() {
    let gateway = Gateway::start("get-text").await;
    gateway.downstream.once(Answer::ok().body("ID: 8f14-77\r\n"));
    let id = gateway.send("+49301").await;
    let call = gateway.only_call().await;
    assert_eq!(call.method, "GET");
    assert!(call.body.is_empty() && call.header("content-type").is_none());
    assert_eq!(call.header("webhook-id"), Some(&*id));
    let expected = "/http/sendmsg?user=shop&password=hush%26&to=%2B49301&text=Gr%C3%BC%C3%9Fe%20%26%20%22mehr%22%20%3Cb%3E%0Azwei";
    assert_eq!(call.path, expected);
    gateway.state(&id, "accepted").await;
    let query = "?msgid=8f14-77&state=ENROUTE&err=000";
    assert_eq!(gateway.receipt(Method::GET, query, "text/plain", "").await["verdict"], "ignored");
    let query = "?msgid=8f14-77&state=UNDELIV&err=absent+subscriber&smsc=1";
    let told = gateway.receipt(Method::GET, query, "text/plain", "").await;
    assert_eq!(told, json!({ "verdict": "ok", "id": id, "state": "dead" }));
    assert_eq!(gateway.state(&id, "dead").await["reason"], "absent subscriber");

    gateway.downstream.once(Answer::ok().body("ERR: 114, unknown number"));
    let id = gateway.send("1").await;
    let error = gateway.state(&id, "dead").await["last_attempt"]["error"].clone();
    assert_eq!(error, "status 200, answers[0]: unknown number");
}

#[tokio::test]
async fn a_soap_gateway_gets_xml_in_which_every_value_is_escaped() {
    let gateway = Gateway::start("soap").await;
    gateway.downstream.once(Answer::ok().body("<r><result>0</result></r>"));
    let id = gateway.send("+49301").await;
    let call = gateway.only_call().await;
    assert_eq!(call.header("content-type"), Some("text/xml; charset=utf-8"));
    assert_eq!(call.header("soapaction"), Some("\"urn:sms#send\""));
    let body = String::from_utf8(call.body.clone()).unwrap();
    assert!(body.starts_with("<?xml version=\"1.0\""), "{body}");
    assert!(body.contains(&format!("password=\"hush%26\" ref=\"{id}\">")), "{body}");
    let text = "<sms:text>Grüße &amp; &quot;mehr&quot; &lt;b&gt;&#10;zwei</sms:text>";
    assert!(body.contains(text), "{body}");
    gateway.state(&id, "delivered").await;
    let fault = "<f><faultcode>soap:Client</faultcode> <faultstring>bad number</faultstring></f>";
    gateway.downstream.once(Answer::status(500).body(fault));
    let id = gateway.send("1").await;
    let error = gateway.state(&id, "dead").await["last_attempt"]["error"].clone();
    assert_eq!(error, "status 500, answers[1]: bad number");
}

#[tokio::test]
async fn a_gateway_answers_a_batch_item_by_item() {
    let gateway = Gateway::start("batch-api").await;
    gateway.downstream.answer_with(|request| {
        let sent = request.json();
        let answer = |(at, message): (usize, &Value)| match message["to"].as_str() {
            Some("bad") => json!({ "status": "REJECTED", "description": "bad number" }),
            _ => json!({ "status": "PENDING", "messageId": format!("m-{at}") }),
        };
        let list: Vec<_> =
            sent["messages"].as_array().unwrap().iter().enumerate().map(answer).collect();
        Answer::ok().json(&json!({ "messages": list }))
    });
    let rows = ["1", "bad", "3"].map(|to| json!({ "payload": { "to": to, "text": PAYLOAD } }));
    let path = "/v1/queues/sms/messages/batch";
    let reply = gateway.daemon.post(path, &json!(rows)).await.expect(200).json();
    let id = |at: usize| reply["results"][at]["id"].as_str().unwrap().to_owned();
    let call = gateway.only_call().await;
    assert_eq!((&*call.method, &*call.path), ("POST", "/sms/2/text/advanced"));
    assert_eq!(call.json()["messages"].as_array().unwrap().len(), 3);
    assert_eq!(call.json()["messages"][0]["text"], PAYLOAD);
    for at in [0, 2] {
        gateway.state(&id(at), "accepted").await;
    }
    let error = gateway.state(&id(1), "dead").await["last_attempt"]["error"].clone();
    assert!(error.as_str().unwrap().contains("bad number"), "{error}");
    let receipt = json!([{ "messageId": "m-0", "status": "DELIVERED" }, { "messageId": "m-2", "status": "SENT" }, { "status": "DELIVERED" }]);
    let told = gateway.receipt(Method::POST, "", "application/json", &receipt.to_string()).await;
    let verdict = |at: usize| told["results"][at]["verdict"].clone();
    assert_eq!((verdict(0), verdict(1)), (json!("ok"), json!("ignored")), "{told}");
    assert!(told["results"][2]["problem"].is_object(), "{told}");
}

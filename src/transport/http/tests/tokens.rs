//! Exchanges with tokens, from a token endpoint that a test scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::server::{Seen, Server, read_request, read_to_close};
use super::{Transport, answered, call, call_within, downstream, way_to};
use crate::domain::access::{Access, CredentialsIn, OAuth2Policy};
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

/// What came to a server, and what it answers to the request of this number.
struct Side {
    server: Server,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Side {
    async fn start<A>(answer: A) -> Self
    where
        A: Fn(usize, &Seen) -> (u16, String) + Send + Sync + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let server = Server::start(move |mut stream, _| {
            let (noted, answer, count) =
                (Arc::clone(&noted), Arc::clone(&answer), Arc::clone(&count));
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                    let (status, body) = answer(number, &request);
                    noted.lock().push(request);
                    let len = body.len();
                    let text =
                        format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n\r\n{body}");
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        Self { server, seen }
    }

    fn count(&self) -> usize {
        self.seen.lock().len()
    }

    fn tokens(&self) -> Vec<String> {
        let seen = self.seen.lock();
        seen.iter().map(|it| it.header("authorization").unwrap().to_owned()).collect()
    }
}

/// Tokens t1, t2 and so on, each for so many seconds.
async fn endpoint(life_s: u32) -> Side {
    let answer = move |number, _: &Seen| {
        (
            200,
            format!(
                r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":{life_s}}}"#
            ),
        )
    };
    Side::start(answer).await
}

async fn content() -> Side {
    Side::start(|_, _| (200, "ok".to_owned())).await
}

fn policy(endpoint: &Side) -> OAuth2Policy {
    OAuth2Policy {
        client_secret: Secret::new("hunter2".to_owned()),
        ..OAuth2Policy::of(&format!("http://{}/token", endpoint.server.at))
    }
}

fn with(oauth2: OAuth2Policy, side: &Side) -> Transport {
    let access = Access { oauth2: Some(oauth2), ..Access::default() };
    let url = format!("http://{}/hook", side.server.at);
    way_to(&Downstream::Http(HttpDownstream { access: Arc::new(access), ..downstream(&url) }))
        .unwrap()
}

fn withheld(answer: &Answer) -> &str {
    let Answer::Withheld { error, .. } = answer else { panic!("{answer:?}") };
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[tokio::test]
async fn many_calls_at_once_ask_for_one_token() {
    let (tokens, side) = tokio::join!(endpoint(3600), content());
    let transport = with(policy(&tokens), &side);
    let calls = (0..20).map(|_| transport.send(call("{}")));
    for answer in join_all(calls).await {
        assert_eq!(answer, answered(200, "ok", None));
    }
    // Another transport with the same settings has the same token.
    assert_eq!(with(policy(&tokens), &side).send(call("{}")).await, answered(200, "ok", None));
    assert_eq!((tokens.count(), side.count()), (1, 21));
    assert!(side.tokens().iter().all(|token| token == "Bearer t1"));
    let asked = &tokens.seen.lock()[0];
    assert_eq!(asked.header("authorization"), Some("Basic dGlkZWdhdGU6aHVudGVyMg=="));
    assert_eq!(asked.body, b"grant_type=client_credentials");
}

#[tokio::test]
async fn id_and_secret_go_into_the_body_where_that_is_wanted() {
    let (tokens, side) = tokio::join!(endpoint(3600), content());
    let transport = with(OAuth2Policy { send: CredentialsIn::Body, ..policy(&tokens) }, &side);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    let asked = &tokens.seen.lock()[0];
    assert_eq!(asked.header("authorization"), None);
    let body = b"grant_type=client_credentials&client_id=tidegate&client_secret=hunter2";
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends() {
    let (tokens, side) = tokio::join!(endpoint(4), content());
    let transport = with(policy(&tokens), &side);
    let began = Instant::now();
    while tokens.count() < 2 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
        assert!(began.elapsed() < Duration::from_secs(20), "no second token");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // At half of so short a life.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(side.tokens().contains(&"Bearer t2".to_owned()));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let tokens = endpoint(3600).await;
    let side = Side::start(|number, seen| {
        let is_void = number > 1 && seen.header("authorization") == Some("Bearer t1");
        if is_void { (401, String::new()) } else { (200, "ok".to_owned()) }
    })
    .await;
    let transport = with(policy(&tokens), &side);
    for _ in 0..3 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    }
    assert_eq!(side.tokens(), ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]);
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_an_answer() {
    let tokens = endpoint(3600).await;
    let side = Side::start(|_, _| (401, "no".to_owned())).await;
    let transport = with(policy(&tokens), &side);
    assert_eq!(transport.send(call("{}")).await, answered(401, "no", None));
    assert_eq!((tokens.count(), side.count()), (1, 1));
    // The next call cannot know whether that token has become void: once more, and no further.
    assert_eq!(transport.send(call("{}")).await, answered(401, "no", None));
    assert_eq!((tokens.count(), side.count()), (2, 3));
}

#[tokio::test]
async fn without_a_token_nothing_leaves_and_those_that_wait_share_the_refusal() {
    // Whoever repeats the request in its answer repeats the secret.
    let tokens = Side::start(|_, _| {
        let why = r#"{"error":"invalid_client","error_description":"no client tidegate:hunter2"}"#;
        (401, why.to_owned())
    })
    .await;
    let side = content().await;
    let transport = with(policy(&tokens), &side);
    let at = tokens.server.at;
    for answer in join_all((0..10).map(|_| transport.send(call("{}")))).await {
        let expected = format!(
            "no token from http://{at}/token: status 401: invalid_client (no client tidegate:***)"
        );
        assert_eq!(withheld(&answer), expected);
    }
    assert_eq!((tokens.count(), side.count()), (1, 0));
    withheld(&transport.send(call("{}")).await);
    assert_eq!(tokens.count(), 2, "the next call asks again");
}

#[tokio::test]
async fn a_token_that_still_counts_is_used_while_no_new_one_is_to_be_had() {
    let tokens = Side::start(|number, _| match number {
        1 => (200, r#"{"access_token":"t1","expires_in":8}"#.to_owned()),
        _ => (500, String::new()),
    })
    .await;
    let side = content().await;
    let transport = with(policy(&tokens), &side);
    let began = Instant::now();
    while tokens.count() < 2 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
        assert!(began.elapsed() < Duration::from_secs(7), "no second request");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(tokens.count(), 2, "it is left alone for a moment");
}

#[tokio::test]
async fn a_token_that_comes_late_is_for_the_next_call() {
    let side = content().await;
    let slow = Server::start(|mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            let body = r#"{"access_token":"t1"}"#;
            let len = body.len();
            let text = format!("HTTP/1.1 200 X\r\nContent-Length: {len}\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let transport = with(OAuth2Policy::of(&format!("http://{}/", slow.at)), &side);
    // Those that waited for the same token have as little time left.
    let late = [1, 2].map(|_| transport.send(call_within("{}", 2000)));
    for answer in join_all(late).await {
        assert!(
            withheld(&answer).contains("it came so late that the call was not begun"),
            "{answer:?}"
        );
    }
    assert_eq!(side.count(), 0);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!((slow.accepted(), side.tokens()), (1, vec!["Bearer t1".to_owned()]));
}

#[tokio::test]
async fn a_refused_token_that_cannot_be_replaced_holds_the_message() {
    let tokens = Side::start(|number, _| match number {
        1 => (200, r#"{"access_token":"t1"}"#.to_owned()),
        _ => (503, String::new()),
    })
    .await;
    let side = Side::start(
        |number, _| if number == 1 { (200, "ok".to_owned()) } else { (401, String::new()) },
    )
    .await;
    let transport = with(policy(&tokens), &side);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    let answer = transport.send(call("{}")).await;
    assert!(withheld(&answer).ends_with("status 503: it does not say why"), "{answer:?}");
    assert_eq!((tokens.count(), side.count()), (2, 2));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_hangs_or_says_too_much_gives_no_token() {
    let side = content().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let to = |url: String| {
        let client_secret = Secret::new("hunter2".to_owned());
        with(OAuth2Policy { client_secret, ..OAuth2Policy::of(&url) }, &side)
    };
    let answer = to(format!("http://{gone}/")).send(call("{}")).await;
    assert!(withheld(&answer).ends_with(": connection refused"), "{answer:?}");
    let silent =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let answer = to(format!("http://{}/", silent.at)).send(call_within("{}", 700)).await;
    assert!(withheld(&answer).contains("no answer within 700ms"), "{answer:?}");
    let endless = Side::start(|_, _| (200, "x".repeat(1 << 20))).await;
    let answer = with(policy(&endless), &side).send(call("{}")).await;
    assert!(withheld(&answer).contains("longer than the 64KiB"), "{answer:?}");
    assert_eq!(side.count(), 0);
}

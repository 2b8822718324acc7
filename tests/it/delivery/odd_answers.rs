//! Answers that are not quite HTTP, as real servers give them: their status counts, each call is made once,
//! and no rest of one answer is taken for the next.

use serde_json::json;

use crate::support::{Answer, Scene};

#[tokio::test]
async fn the_rest_of_an_answer_is_not_taken_for_the_next_one() {
    let scene = Scene::start("on_uncertain = \"park\"\nconcurrency = 1").await;
    let head = "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene.downstream.always(Answer::writes(&[head, "0\r\n\r\n"]));

    scene.send_numbers(20).await;

    scene.wait_count("delivered", 20).await;
    assert_eq!(scene.downstream.requests().len(), 20);
}

#[tokio::test]
async fn an_odd_line_in_a_head_does_not_hide_a_success() {
    let cookies = format!("{}Content-Length: 0\r\n\r\n", "Set-Cookie: a=b\r\n".repeat(150));
    for (version, lines) in [
        ("1.1", "X-Folded: one,\r\n two\r\nContent-Length: 0\r\n\r\n"),
        ("1.1", "Server : old\r\nContent-Length: 0\r\n\r\n"),
        ("1.1", &cookies),
        ("1.0", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("1.1", "X\0: y\r\n\r\n"),
    ] {
        let scene = Scene::start("").await;
        scene.downstream.always(Answer::writes(&[&format!("HTTP/{version} 200 OK\r\n{lines}")]));

        let id = scene.send("x").await;

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!(message["state"], "delivered", "{lines}: {message}");
        assert_eq!(scene.downstream.requests().len(), 1, "{lines}");
    }
}

#[tokio::test]
async fn an_odd_line_in_a_head_does_not_hide_a_refusal_of_credentials() {
    for odd in ["X-Folded: one,\r\n two", "X\0: y"] {
        let scene = Scene::start("concurrency = 1").await;
        let answer = format!("HTTP/1.1 401 Who?\r\n{odd}\r\nContent-Length: 0\r\n\r\n");
        scene.downstream.always(Answer::writes(&[&answer]));

        let ids = scene.line_up(2).await;
        scene.queue_step("resume", &json!({})).await;
        scene.downstream.wait_for(1).await;
        let first = scene.wait_state(&ids[0], "ready").await;

        assert_eq!(first["attempts"], 0, "{first}");
        assert_eq!(first["last_attempt"]["status_code"], 401, "{first}");
        assert_eq!(scene.downstream.requests().len(), 1, "the gate is shut");
    }
}

#[tokio::test]
async fn an_odd_line_in_a_head_does_not_hide_a_throttle() {
    for odd in ["X-Folded: one,\r\n two", "X\0: y"] {
        let scene = Scene::start("concurrency = 1").await;
        let answer = format!(
            "HTTP/1.1 429 Slow down\r\n{odd}\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
        );
        scene.downstream.once(Answer::writes(&[&answer]));

        let id = scene.send("x").await;

        let message = scene.daemon.wait_final(&id).await;
        let calls = scene.downstream.requests();
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
        assert_eq!((calls.len(), &message["throttles"]), (2, &json!(1)), "{message}");
        let waited = calls[1].arrived - calls[0].arrived;
        assert!((1990..4000).contains(&waited.as_millis()), "{waited:?}");
    }
}

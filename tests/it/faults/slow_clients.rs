//! Clients that hold on to what is shared: idle connections, bodies that never end, answers that nobody
//! reads. They cost others nothing, and messages least of all.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::wait::poll_until_within;
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml, within,
};

async fn connect(daemon: &Daemon) -> TcpStream {
    let at = ("127.0.0.1", daemon.port());
    within("a connection", TcpStream::connect(at)).await.expect("the daemon listens")
}

/// The head of a request with a body of so many bytes.
fn head(path: &str, bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

fn messages_path() -> String {
    format!("/v1/queues/{QUEUE}/messages")
}

/// Each was sent once, and none is lost.
async fn assert_delivered_at_once(daemon: &Daemon, ids: &[String]) {
    for id in ids {
        let message = daemon.wait_final(id).await;
        assert_eq!(message["state"], "delivered", "{message}");
        assert_eq!(message["attempts"], 1, "{message}");
    }
}

#[tokio::test]
async fn idle_connections_take_no_descriptor_from_calls_and_make_way_for_requests() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::with(queue_toml(QUEUE, &downstream, "")).redis(&redis).open_files(512);
    let daemon = daemon.start().await;

    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(connect(&daemon).await);
    }
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(daemon.send(QUEUE, &json!({ "payload": number })).await);
    }

    assert_delivered_at_once(&daemon, &ids).await;
    let log = daemon.log();
    assert!(!log.contains("cannot be accepted") && !log.contains("cannot make calls"), "{log}");
    drop(idle);
}

#[tokio::test]
async fn without_descriptors_messages_wait_and_no_attempt_is_counted() {
    const MESSAGES: usize = 200;
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "concurrency = 200");
    let daemon = Daemon::with(config).redis(&redis).open_files(128).start().await;
    assert!(daemon.log().contains("the limit of open files is low"), "{}", daemon.log());
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));

    let messages: Vec<_> = (0..MESSAGES).map(|number| json!({ "payload": number })).collect();
    let path = format!("{}/batch", messages_path());
    let reply = daemon.post(&path, &json!(messages)).await.expect(200).json();
    eventually("there are no more descriptors", async || {
        daemon.log().contains("this machine cannot make calls")
    })
    .await;
    // The shortage lasts for some rounds.
    sleep(Duration::from_secs(3)).await;
    gate.release();

    let id = |result: &Value| result["id"].as_str().expect("it was accepted").to_owned();
    let ids: Vec<_> = reply["results"].as_array().expect("results").iter().map(id).collect();
    assert_delivered_at_once(&daemon, &ids).await;
    assert_eq!(downstream.requests().len(), MESSAGES);
    let log = daemon.log();
    assert_eq!(log.matches("this machine cannot make calls").count(), 1, "{log}");
    assert_eq!(log.matches("this machine can make calls again").count(), 1, "{log}");
}

#[tokio::test]
async fn arrays_that_drip_shut_nobody_out_and_end() {
    let scene = Scene::start("").await;
    let path = format!("{}/batch", messages_path());
    let mut dripping = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&scene.daemon).await;
        stream.write_all(head(&path, 1 << 20).as_bytes()).await.expect("it reads");
        dripping.push(stream);
    }
    let began = Instant::now();
    let drips = dripping.into_iter().map(async |mut stream| {
        let (mut reading, mut writing) = stream.split();
        let mut answer = [0; 12];
        let drip = async {
            loop {
                if writing.write_all(b" ").await.is_err() {
                    return std::future::pending::<()>().await;
                }
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            read = reading.read_exact(&mut answer) => read.expect("an answer, not a reset"),
            () = drip => unreachable!("a drip has no end"),
        };
        (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
    });
    let valid = async {
        sleep(Duration::from_secs(1)).await;
        let messages: Vec<_> = (0..2000).map(|number| json!({ "payload": number })).collect();
        let began = Instant::now();
        let reply = scene.daemon.post(&path, &json!(messages)).await.expect(200).json();
        assert_eq!(reply["accepted"], 2000);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    };

    let (ends, ()) = tokio::join!(join_all(drips), valid);

    for (answer, after) in ends {
        assert_eq!(answer, "HTTP/1.1 408");
        assert!(after < Duration::from_secs(40), "{after:?}");
    }
}

#[tokio::test]
async fn bodies_that_never_end_stay_within_a_common_budget() {
    const CLIENTS: usize = 1500;
    const BODY: usize = 250 << 10;
    let scene = Scene::start("").await;
    let before = scene.daemon.rss_kib();
    let request = head(&messages_path(), BODY) + "{\"payload\":\"" + &"x".repeat(BODY - 20);
    let mut withheld = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(&scene.daemon).await;
        stream.write_all(request.as_bytes()).await.expect("the daemon or the kernel takes it");
        withheld.push(stream);
    }

    // A message in one piece needs nothing of what they hold.
    let began = Instant::now();
    let id = scene.send("beside them").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let mut most = 0;
    let ends = join_all(withheld.into_iter().map(async |mut stream| {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer, not a reset");
        String::from_utf8_lossy(&answer).into_owned()
    }));
    let watch = async {
        loop {
            most = most.max(scene.daemon.rss_kib());
            sleep(Duration::from_millis(100)).await;
        }
    };
    let ends = tokio::select! {
        ends = timeout(Duration::from_secs(60), ends) => ends.expect("each ends"),
        () = watch => unreachable!("the watch has no end"),
    };

    let count = |status: &str| ends.iter().filter(|end| end.ends_with(status)).count();
    // The first ones filled the budget and sent no more; the others found no room.
    assert_eq!(count("408") + count("503"), CLIENTS, "{ends:?}");
    assert!(count("503") > CLIENTS / 4, "{}", count("503"));
    let grown_mib = most.saturating_sub(before) / 1024;
    // What the allocator keeps for later comes on top of the budget; without one it were 950 MiB.
    assert!(grown_mib < 550, "grew by {grown_mib} MiB");
    let id = scene.send("after them").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn who_stops_reading_a_large_answer_is_closed() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let payload = "x".repeat(250_000);
    for _ in 0..20 {
        scene.send(payload.as_str()).await;
    }
    let page = format!("GET {}?view=full HTTP/1.1\r\nHost: localhost\r\n\r\n", messages_path());
    let mut readers = Vec::new();
    for _ in 0..10 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("small buffers");
        let at = ([127, 0, 0, 1], scene.daemon.port()).into();
        let mut stream = socket.connect(at).await.expect("the daemon listens");
        stream.write_all(page.as_bytes()).await.expect("it reads");
        let mut begin = [0; 12];
        within("an answer", stream.read_exact(&mut begin)).await.expect("it answers");
        assert_eq!(&begin, b"HTTP/1.1 200");
        readers.push(stream);
    }
    let began = Instant::now();

    // Nobody reads on; after the write time-out the rest is not to be had any more.
    sleep(Duration::from_secs(31)).await;
    let open = format!("{:04X}", scene.daemon.port());
    poll_until_within(Duration::from_secs(15), "the connections are closed", async || {
        (established_at(&open) == 0).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(60));
    for mut reader in readers {
        let mut rest = Vec::new();
        let ended = within("the end", reader.read_to_end(&mut rest)).await;
        assert!(ended.is_err() || rest.len() < 5_000_000, "{ended:?}: {}", rest.len());
    }
    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    scene.daemon.get(&format!("/v1/messages/{id}")).await.expect(200);
}

/// Connections of the daemon at this port (in hexadecimal digits) on which bytes still wait to be sent.
fn established_at(port: &str) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let of_port = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.len() > 4
            && words[1].ends_with(&format!(":{port}"))
            && words[3] == "01"
            && !words[4].starts_with("00000000:")
    };
    table.lines().filter(of_port).count()
}

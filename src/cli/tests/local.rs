//! Commands that talk to nobody, and the command line itself.

use clap::{CommandFactory, Parser};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::args::{Cli, Command};
use super::super::exit::Exit;
use super::super::local::hex;
use super::kit::run_at;

async fn run(words: &[&str]) -> super::kit::Done {
    run_at("http://127.0.0.1:1", words, "").await
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_words_are_refused() {
    for words in [
        &["send"][..],
        &["send", "q", "-d", "1", "-f", "x"],
        &["send", "q", "-d", "1", "--delay", "soon"],
        &["send", "q", "-d", "1", "--delay", "1s", "--due", "2026-11-21 09:00"],
        &["send", "q", "-d", "1", "--tz", "Asia/Atlantis"],
        &["send", "q", "-d", "1", "--priority", "10"],
        &["send", "q", "-d", "1", "--label", "x"],
        &["send", "q", "-d", "1", "--header", "x"],
        &["list", "q", "--state", "done"],
        &["purge", "q", "--yes"],
        &["reschedule", "q_1"],
        &["get"],
        &["pause", "q", "--for", "1s", "--until", "2026-11-21T09:00:00Z"],
        &["token", "new", "x", "--scope", "all"],
        &["nonsense"],
    ] {
        let error = Cli::try_parse_from(["tidegate"].iter().chain(words)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}

#[test]
fn a_payload_may_begin_with_a_hyphen() {
    for words in [["send", "q", "-d", "-5"], ["send", "q", "-d", "--"]] {
        assert!(Cli::try_parse_from(["tidegate"].iter().chain(&words)).is_ok(), "{words:?}");
    }
}

#[test]
fn flags_of_serve_lie_over_the_config() {
    let words = ["tidegate", "serve", "--config", "t.toml", "--redis", "redis://r"];
    let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("serve is serve")
    };
    let sources = args.sources();
    assert_eq!(sources.file.unwrap().to_str(), Some("t.toml"));
    assert_eq!(sources.overrides, [("redis.url".into(), "redis://r".into(), "--redis")]);
}

#[tokio::test]
async fn check_names_certificates_that_have_expired() {
    let certs = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    let check = async |name: &str| {
        let tls =
            format!("{{ certificate = \"{certs}/{name}.pem\", key = \"{certs}/{name}.key\" }}");
        let text = format!("[queues.q.downstream]\nurl = \"https://h\"\ntls = {tls}\n");
        std::fs::write(&file, text).unwrap();
        run(&["check", &file.display().to_string()]).await
    };
    let done = check("expired").await;
    assert_eq!(done.exit, Exit::Usage);
    let said = format!("{}{}", done.out, done.err);
    for part in ["queues.q.downstream.tls.certificate: ", "expired at 2021-01-01", "put a new one"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(check("client").await.exit, Exit::Ok);
}

#[tokio::test]
async fn a_token_is_shown_once_and_the_config_has_its_hash() {
    let done = run(&["token", "new", "shop \"7\"", "--scope", "read", "--scope", "send"]).await;
    assert_eq!(done.exit, Exit::Ok);
    let (token, line) = done.out.trim_end().split_once('\n').unwrap();
    assert!(token.starts_with("tg_") && token.len() == 46, "{token}");
    let parsed: toml::Value = toml::from_str(&format!("t = {line}")).unwrap();
    let entry = &parsed["t"];
    assert_eq!(entry["name"].as_str(), Some("shop \"7\""));
    assert_eq!(entry["sha256"].as_str(), Some(hex(&Sha256::digest(token)).as_str()));
    assert_eq!(entry["scopes"].to_string(), r#"["send", "read"]"#);
    let other = run(&["token", "new", "shop", "--output", "json"]).await;
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_ne!(other["token"], token);
    assert_eq!(other["scopes"], serde_json::json!(["send"]));
}

#[tokio::test]
async fn completion_asks_the_program_itself() {
    for shell in ["bash", "zsh", "fish"] {
        let done = run(&["completion", shell]).await;
        assert!(done.exit == Exit::Ok && done.out.contains("COMPLETE"), "{shell}: {}", done.out);
    }
}

#[tokio::test]
async fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(&["man", folder.path().join("man1").to_str().unwrap()]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    for page in ["tidegate.1", "tidegate-send.1", "tidegate-token-new.1", "tidegate-sink.1"] {
        let text = std::fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}

#[tokio::test]
async fn check_takes_its_file_as_it_comes() {
    let (_folder, path) = config("[queues.sms.downstream]\ntype = \"null\"\n");
    let done = run(&["check", &path]).await;
    assert!(done.exit == Exit::Ok && done.out.contains("[queues.sms]"), "{}{}", done.out, done.err);
}

/// A config in a file of its own, which lives as long as the first of the pair.
fn config(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[tokio::test]
async fn check_prints_what_is_effective() {
    let (_folder, path) =
        config("[queues.sms]\nrate = \"20/s\"\n[queues.sms.downstream]\ntype = \"null\"\n");
    let done = run(&["check", "--config", &path]).await;
    let verdict = "the configuration is valid: 1 queue\n";
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, verdict));
    assert!(done.out.contains("20/s") && done.out.contains("drain_timeout"), "{}", done.out);
}

#[tokio::test]
async fn check_names_all_errors_and_ends_with_2() {
    let (_folder, path) = config("[server]\nlisten = \"nowhere\"\n[queues.sms]\nrat = \"20/s\"\n");
    let done = run(&["check", "--config", &path]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Usage, ""));
    assert!(done.err.contains("nowhere") && done.err.contains("rat"), "{}", done.err);
    let missing = run(&["check", "--config", "no/such/file.toml"]).await;
    assert_eq!(missing.exit, Exit::Usage);
}

#[tokio::test]
async fn the_line_of_a_new_token_fits_the_config() {
    let done = run(&["token", "new", "shop"]).await;
    let (token, line) = done.out.trim_end().split_once('\n').unwrap();
    let (_folder, path) = config(&format!("[server]\ntokens = [{line}]\n"));
    let settings = crate::config::load(&crate::config::Sources {
        file: Some(path.into()),
        ..crate::config::Sources::default()
    });
    let tokens = settings.unwrap().server.tokens;
    assert_eq!(tokens[0].name, "shop");
    assert_eq!(tokens[0].sha256, <[u8; 32]>::from(Sha256::digest(token)));
    assert_eq!(tokens[0].scopes, [crate::config::Scope::Send]);
}

const RULED: &str = "[queues.sms.downstream]\nurl = \"http://h\"\nanswers = [{ body = '^ERR: (?P<detail>\\d+)', as = \"dead\" }, { body = '^ID: (?P<ref>\\S+)', as = \"accepted\" }]\n[queues.null.downstream]\ntype = \"null\"\n";

#[tokio::test]
async fn check_says_what_a_recorded_answer_means() {
    let (folder, path) = config(RULED);
    let recorded = folder.path().join("recorded.txt");
    let check = async |answer: &str, more: &[&str]| {
        std::fs::write(&recorded, answer).unwrap();
        let file = recorded.to_str().unwrap();
        let words = [&["check", "--config", &path, "--answer", file], more].concat();
        run(&words).await
    };
    let sms = ["--queue", "sms"];
    let dead = check("HTTP/1.1 200 OK\r\n\r\nERR: 114", &sms).await;
    assert_eq!(dead.exit, Exit::Ok, "{}", dead.err);
    let expected = "answer 200 in the queue sms\noutcome: refused\ndecided by: answers[0], as = \"dead\"\n\
         detail: 114\nthe message: is dead\n";
    assert_eq!(dead.out, expected);
    let accepted = check("HTTP/2 200\n\nID: A-7\n", &sms).await;
    assert!(
        accepted.out.contains("ref: A-7\nthe message: is accepted; its receipt"),
        "{}",
        accepted.out
    );
    let table = check("HTTP/1.1 503 x\nRetry-After: 9\n\n", &sms).await;
    assert!(table.out.contains("decided by: the table of outcomes"), "{}", table.out);
    assert!(table.out.contains("sends nothing for 9s"), "{}", table.out);
    let json = check("HTTP/1.1 200 OK\n\nERR: 114", &["--queue", "sms", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&json["outcome"], &json["decision"]["rule"]),
        (&"refused".into(), &"answers[0]".into())
    );
    let unreadable = check("HTTP/1.1 200 OK\n\n\u{1}\u{2}", &sms).await;
    assert_eq!(unreadable.exit, Exit::Failure);
    assert!(
        unreadable.out.contains("nobody can tell whether answers[0] holds"),
        "{}",
        unreadable.out
    );
    assert_eq!(check("{}", &sms).await.exit, Exit::Usage);
    assert_eq!(check("HTTP/1.1 200 OK\n\n", &["--queue", "mail"]).await.exit, Exit::NotFound);
    assert_eq!(check("HTTP/1.1 200 OK\n\n", &["--queue", "null"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn check_shows_each_element_of_the_answer_to_a_batch() {
    let text = "[queues.erp]\nbatch = {}\n[queues.erp.downstream]\nurl = \"http://h\"\nanswers = [{ json = \"/ok\", equals = false, as = \"dead\" }]\neach = { at = \"/rows\", id = \"/order\" }\n";
    let (folder, path) = config(text);
    let recorded = folder.path().join("recorded.txt");
    let answer = r#"{"rows":[{"order":"erp_1","ok":true},{"order":"erp_2","ok":false}]}"#;
    std::fs::write(&recorded, format!("HTTP/1.1 200 OK\r\n\r\n{answer}")).unwrap();
    let file = recorded.to_str().unwrap();
    let done = run(&["check", &path, "--queue", "erp", "--answer", file]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    assert!(done.out.contains("element 1, id erp_2\noutcome: refused\n"), "{}", done.out);
    assert!(done.out.contains("element 0, id erp_1\noutcome: delivered\n"), "{}", done.out);
}

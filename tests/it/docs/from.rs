//! The pages for those who come from another system (docs/from): the configuration is copied, the commands are run, and what they
//! send arrives.

use std::path::Path;

use crate::support::Page;
use crate::support::{Daemon, Downstream, RedisServer};

/// A page, played; `hosts` are those that its messages name, and how many calls come of it.
async fn played(name: &str, hosts: &[&str], calls: usize) -> Downstream {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let page = Page::read(format!("docs/from/{name}.md"));
    let at = downstream.url("");
    let at = at.trim_start_matches("http://").trim_end_matches('/');
    // A host that messages may name is the receiver; every address is a path there.
    let named = |host: &&str| (format!("[\"{host}\"]"), format!("[\"{at}\"]"));
    let mut instead: Vec<(String, String)> = hosts.iter().map(named).collect();
    instead.push(("https://".to_owned(), downstream.url("/")));
    let (config, _) = page.files(&pairs(&instead));
    let daemon = Daemon::start(&redis, config).await;
    instead.push(("http://127.0.0.1:7411".to_owned(), daemon.url().to_owned()));
    let (_, script) = page.files(&pairs(&instead));
    let folder = tempfile::tempdir().expect("a temp dir");
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-c").arg(script).current_dir(folder.path());
    let output = daemon.run(bash).await;
    assert_eq!(output.code, 0, "{name}:\n{}\n{}", output.stdout, output.stderr);
    if calls > 0 {
        downstream.wait_for(calls).await;
    }
    downstream
}

fn pairs(of: &[(String, String)]) -> Vec<(&str, String)> {
    of.iter().map(|(from, to)| (from.as_str(), to.clone())).collect()
}

#[tokio::test]
async fn from_cloud_tasks() {
    let downstream = played("cloud-tasks", &["worker.example.com"], 2).await;
    let requests = downstream.requests();
    assert!(requests.iter().all(|it| it.path == "/worker.example.com/resize"), "{requests:?}");
    let first = requests.iter().find(|it| it.json()["image"] == 7).expect("it came");
    assert_eq!(first.header("x-tenant"), Some("acme"));
}

#[tokio::test]
async fn from_qstash() {
    let downstream = played("qstash", &["api.example.com", "shop.example.com"], 3).await;
    let requests = downstream.requests();
    let hooks: Vec<_> = requests.iter().filter(|it| it.path.ends_with("/hook")).collect();
    assert!(hooks.iter().all(|it| it.header("webhook-signature").is_some()), "{requests:?}");
    assert_eq!(hooks.len(), 2);
    assert!(requests.iter().any(|it| it.path == "/shop.example.com/done"), "{requests:?}");
}

#[tokio::test]
async fn from_bullmq() {
    played("bullmq", &[], 0).await;
}

#[tokio::test]
async fn from_sidekiq() {
    let downstream = played("sidekiq", &[], 2).await;
    assert!(downstream.requests().iter().all(|it| it.json()["class"] == "MailJob"));
}

#[tokio::test]
async fn from_celery() {
    played("celery", &[], 0).await;
}

#[test]
fn every_page_is_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it is readable").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["bullmq.md", "celery.md", "cloud-tasks.md", "qstash.md", "sidekiq.md"]);
}

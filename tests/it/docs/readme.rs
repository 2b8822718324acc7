//! README.md, played from top to bottom with exactly its files: its configuration, its practice downstreams,
//! its daemon. Only the three ports are free ones, so that tests may run side by side.

use std::process::Command;
use std::time::Duration;

use crate::support::daemon::PROGRAM;
use crate::support::guarded::{AtEnd, Guarded};
use crate::support::ports::free_port;
use crate::support::{Page, RedisServer};

/// The queue that a daemon without a configuration has; a test always brings a file.
const DEMO: &str = "[queues.demo.downstream]\ntype = \"null\"\n";
/// The page asks for waits of up to a minute, and the flood alone takes five seconds.
const PLAY_DEADLINE: Duration = Duration::from_secs(180);

#[tokio::test]
async fn the_readme_works_from_top_to_bottom() {
    let dir = tempfile::Builder::new().prefix("tidegate-").tempdir().expect("temp dir");
    let ports: Vec<_> =
        ["7411", "8090", "8091"].iter().map(|port| (*port, free_port().to_string())).collect();
    let (config, script) = Page::read("README.md").files(&ports);
    std::fs::write(dir.path().join("tidegate.toml"), config).expect("temp dir is ours");
    let bin = std::path::Path::new(PROGRAM).parent().expect("a program lies in a folder");
    // Whatever was started in the background ends with the script.
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT; trap 'exit 143' TERM; cd '{}'; PATH='{}':$PATH\n{script}",
        dir.path().display(),
        bin.display(),
    );
    let api = format!("127.0.0.1:{}", ports[0].1);
    let mut bash = Command::new("bash");
    bash.args(["-c", &script])
        .env("HOME", dir.path())
        .env("TIDEGATE__SERVER__LISTEN", &api)
        .env("TIDEGATE_URL", format!("http://{api}"))
        .env_remove("TIDEGATE_TOKEN")
        .env_remove("STATE_DIRECTORY")
        .env_remove("XDG_STATE_HOME");
    let log = dir.path().join("output.log");
    let mut run = Guarded::start(&bash, &log, AtEnd::Stop, dir.path());

    let code = tokio::time::timeout(PLAY_DEADLINE, run.ended()).await;

    let read = |name: &str| {
        std::fs::read_to_string(dir.path().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let [output, sink, letters] = ["output.log", "sink.log", "letters.log"].map(read);
    assert_eq!(code, Ok(0), "{output}\n{}", read("tidegate.log"));
    for told in ["accepted    100\n", "accepted    1200\n", "ready\n", "Dead ", " 09:00:00 +0"] {
        assert!(output.contains(told), "{told} is missing in\n{output}");
    }
    let (before, repaired) = output.split_once(" requeued\n").expect("a letter is sent again");
    assert!(before.contains("Delivered ") && repaired.contains("Delivered "), "{output}");
    for told in [
        "letters  attempt 1  {\"to\": \"nobody\"}  -> 422",
        // The new sink may not listen yet at the first attempt; then the second one arrives.
        "  {\"to\": \"+4915112345678\"}  -> 200",
    ] {
        assert!(letters.contains(told), "{told} is missing in\n{letters}");
    }
    // The script ends before the flood does; what came, came at the pace of the configuration.
    let mut seconds = std::collections::BTreeMap::<&str, usize>::new();
    for line in sink.lines().filter(|line| line.contains("POST /send")) {
        *seconds.entry(line.split(' ').next().unwrap_or_default()).or_default() += 1;
    }
    assert!(!seconds.is_empty() && seconds.values().all(|calls| *calls <= 22), "{seconds:?}");
}

#[tokio::test]
async fn its_first_two_commands_are_a_daemon_and_a_delivered_message() {
    let commands = Page::read("README.md").console();
    let [run, send] = commands.as_slice() else { panic!("two commands, not {commands:?}") };
    assert_eq!(run, "make run");
    let redis = RedisServer::start().await;
    let daemon = crate::support::Daemon::start(&redis, DEMO).await;
    let mut sh = tokio::process::Command::new("sh");
    sh.args(["-c", &send.replace("target/release/tidegate", PROGRAM)]);
    let output = daemon.run(sh).await;
    assert_eq!(output.code, 0, "{send}\n{}", output.stderr);
    assert!(output.stdout.contains("Delivered"), "{}", output.stdout);
    // The daemon says the same, with a path that works.
    let said = format!("try    {PROGRAM} send demo");
    assert!(daemon.log().contains(&said), "{}", daemon.log());
}

/// What `make` would run, without running it.
#[test]
fn make_run_and_make_demo_build_the_same_once_and_show_it() {
    let recipe = |target: &str| {
        let mut make = Command::new("make");
        make.args(["-n", target]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = make.env_remove("CARGO_TARGET_DIR").output().expect("make is installed");
        String::from_utf8(output.stdout).expect("make prints text")
    };
    let build = |recipe: &str| -> Vec<String> {
        let builds = recipe.lines().filter(|line| line.trim_start().starts_with("cargo "));
        builds.map(|line| line.trim().to_owned()).collect()
    };
    let (run, demo) = (recipe("run"), recipe("demo"));
    assert_eq!((build(&run).len(), build(&demo).len()), (1, 1), "{run}{demo}");
    // Other features would compile the whole program a second time.
    assert_eq!(build(&run)[0], format!("{} --bin tidegate", build(&demo)[0]));
    assert!(!run.contains("--quiet") && !demo.contains("--quiet"), "{demo}");
    assert!(run.contains("target/release/tidegate serve"), "{run}");
}

//! From sources to settings, or to everything that is wrong with them.

mod errors;
mod origins;
pub(in crate::config) mod reader;
pub(in crate::config) mod secrets;
pub(in crate::config) mod sources;
mod toml_lines;

pub use errors::{ConfigErrors, Problem};
pub use sources::Sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::sections::{
    calendar, inbox, limits, queue, redis, schedule, server, telemetry, topic,
};
use crate::config::settings::{InboxSettings, Settings, TelemetrySettings};
use origins::origins_of;
use reader::{Context, Field, Read};

/// Reads a configuration and checks all of it.
///
/// # Errors
/// Every problem at once, each with its origin, its key, what was found and what is expected.
pub fn load(sources: &Sources) -> Result<Settings, ConfigErrors> {
    let (merged, problems) = sources.merge()?;
    let origins = origins_of(&merged);
    let context =
        Context::new(&sources.environment, sources.base(), sources.name(), problems, origins);
    let settings = read(&context.root(merged));
    match (settings, context.into_errors()) {
        (_, Some(errors)) => Err(errors),
        (Ok(settings), None) => Ok(settings),
        (Err(_), None) => Err(ConfigErrors::from(Problem {
            origin: sources.name(),
            key: String::new(),
            message: "cannot be read, and the reason was not recorded; please report this"
                .to_owned(),
        })),
    }
}

fn read(root: &Field<'_>) -> Read<Settings> {
    root.section(&[], |section| {
        let server = section.required("server", "[server]", server::read);
        let redis = section.required("redis", "[redis]", redis::read);
        let durability = redis.as_ref().map(|redis| redis.durability).map_err(|reported| *reported);
        let hosts = server.as_ref().map(|server| server.callback_hosts.clone());
        let egress = server.as_ref().map(|server| server.egress_allow.clone());
        let (hosts, egress) = (hosts.unwrap_or_default(), Arc::new(egress.unwrap_or_default()));
        let of_server = queue::OfServer { durability, hosts: &hosts, egress: &egress };
        let limits =
            section.read_or("limits", Vec::new(), |field| field.entries(limits::shared::read));
        let limits: Read<BTreeMap<_, _>> =
            limits.map(|limits| limits.into_iter().map(|it| (it.name.clone(), it)).collect());
        let calendars =
            section.read_or("calendars", Vec::new(), |field| field.entries(calendar::read));
        let calendars: Read<BTreeMap<_, _>> =
            calendars.map(|all| all.into_iter().map(|it| (it.name.clone(), it)).collect());
        let shared = (limits.as_ref().ok(), calendars.as_ref().ok());
        let queues = section.read_or("queues", Vec::new(), |field| {
            field.entries(|name, field| queue::read(name, field, of_server, shared))
        });
        let queues: Read<BTreeMap<_, _>> = queues
            .map(|queues| queues.into_iter().map(|policy| (policy.name.clone(), policy)).collect());
        let topics = section.read_or("topics", Vec::new(), |field| {
            field.entries(|name, field| topic::read(name, field, queues.as_ref().ok()))
        });
        let schedules = section.read_or("schedules", Vec::new(), |field| {
            field.entries(|name, field| schedule::read(name, field, queues.as_ref().ok()))
        });
        // Every section is read before the first `?`: one that nobody asked for would be told to be unknown.
        let inbox = section.read_or("inbox", InboxSettings::default(), |field| {
            inbox::read(field, queues.as_ref().ok())
        });
        let telemetry = section.read_or("telemetry", TelemetrySettings::default(), telemetry::read);
        let topics = topics?.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        let schedules = schedules?.into_iter().map(|it| (it.name.clone(), it)).collect();
        let (server, redis, queues) = (server?, redis?, queues?);
        let (limits, calendars) = (limits?, calendars?);
        let (inbox, telemetry) = (inbox?, telemetry?);
        Ok(Settings {
            server,
            redis,
            queues,
            limits,
            calendars,
            topics,
            schedules,
            inbox,
            telemetry,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load::sources::DEFAULTS;
    use crate::config::testing::{errors_of, load_with, queue_of, settings_of};
    use crate::config::{Problem, RedisTarget, render};
    use crate::domain::id::QueueName;
    use crate::domain::policy::Downstream;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_newcomer_gets_a_demo_queue() {
        let settings = load(&Sources::default()).unwrap();
        let queues: Vec<_> = settings.queues.iter().collect();
        assert_eq!(queues.len(), 1);
        assert_eq!(queues[0].0.as_str(), "demo");
        assert_eq!(queues[0].1.downstream, Downstream::Null);
        assert_eq!(settings.redis.target, RedisTarget::Managed);
    }

    #[test]
    fn whoever_names_a_file_or_a_queue_gets_no_demo() {
        assert!(settings_of("").queues.is_empty());
        let by_environment = Sources {
            environment: environment(&[("TIDEGATE__QUEUES__SMS__DOWNSTREAM__TYPE", "null")]),
            ..Sources::default()
        };
        let names: Vec<_> = load(&by_environment).unwrap().queues.into_keys().collect();
        assert_eq!(names, ["sms".parse().unwrap()]);
    }

    #[test]
    fn each_layer_wins_over_the_one_below() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\ndrain_timeout = \"1s\"\n[queues.sms]\nrate = \"1/s\"\nburst = 2\ndownstream.type = \"null\"";
        let env = [
            ("TIDEGATE__SERVER__LISTEN", "127.0.0.1:2"),
            ("TIDEGATE__QUEUES__SMS__RATE", "5/s"),
            ("TIDEGATE__QUEUES__SMS__CONCURRENCY", "7"),
            ("TIDEGATE__QUEUES__SMS__RETRY__JITTER", "0.5"),
            ("TIDEGATE__REDIS__NAMESPACE", ""),
            ("TIDEGATE_URL", "http://elsewhere"),
        ];
        let flag = ("server.listen".to_owned(), "127.0.0.1:3".to_owned(), "--listen");
        let settings = load_with(file, &env, &[flag]).unwrap();
        assert_eq!(settings.server.listen.port(), 3);
        assert_eq!(settings.server.drain_timeout_ms, 1000);
        assert_eq!(settings.redis.namespace, "tidegate");
        let sms = settings.queues.values().next().unwrap();
        assert_eq!(sms.own_rate().unwrap().0.to_string(), "5/s");
        assert_eq!((sms.own_rate().unwrap().1, sms.concurrency, sms.retry.jitter), (2, 7, 0.5));
    }

    #[test]
    fn a_policy_knows_where_its_settings_come_from() {
        let text = "[queues.q]\nrate = \"2/s\"\n\n[queues.q.window]\ntime_zone = \"UTC\"\nopen = [{ days = \"mon\", from = \"01:00\", to = \"02:00\" }]\n[queues.q.downstream]\ntype = \"null\"\n";
        let settings =
            load_with(text, &environment_pairs(), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let policy = &settings.queues[&"q".parse::<QueueName>().unwrap()];
        let of = |key: &str| policy.origins.of(key).map(ToOwned::to_owned).unwrap_or_default();
        assert!(of("queues.q.rate").ends_with("tidegate.toml:2"), "{}", of("queues.q.rate"));
        assert!(of("queues.q.window").ends_with("tidegate.toml:5"), "{}", of("queues.q.window"));
        let batch = of("queues.q.batch.max_items");
        assert!(
            batch.contains("TIDEGATE__QUEUES__Q__BATCH"),
            "{batch}, {:?}",
            of("queues.q.batch")
        );
        assert_eq!(of("queues.q.concurrency"), "", "its default holds");
        assert_eq!(of("server.listen"), "", "what is built in is a default");
    }

    fn environment_pairs() -> [(&'static str, &'static str); 1] {
        [("TIDEGATE__QUEUES__Q__BATCH", "{ max_items = 3 }")]
    }

    #[test]
    fn all_errors_come_at_once_each_with_its_origin() {
        let file = "[server]\nbody_limit = \"big\"\n\n[queues.sms]\nrate = \"20/fortnight\"\ncolour = \"red\"\n[queues.sms.downstream]\nurl = \"ftp://h\"\n[queues.erp]\nconcurrency = 0\n[topic]\n";
        let env = [("TIDEGATE__QUEUES__ERP__SHARDS", "none"), ("TIDEGATE__SERVER__LISTN", "x")];
        let flag = ("redis.url".to_owned(), "http://h".to_owned(), "--redis");
        let errors = load_with(file, &env, &[flag]).unwrap_err();
        let found: Vec<_> = errors
            .iter()
            .map(|Problem { origin, key, .. }| {
                let origin = Path::new(origin).file_name().unwrap().to_string_lossy().into_owned();
                (origin, key.as_str())
            })
            .collect();
        let expected = [
            ("tidegate.toml:2", "server.body_limit"),
            ("environment variable TIDEGATE__SERVER__LISTN", "server.listn"),
            ("flag --redis", "redis.url"),
            ("environment variable TIDEGATE__QUEUES__ERP__SHARDS", "queues.erp.shards"),
            ("tidegate.toml:10", "queues.erp.concurrency"),
            ("tidegate.toml:10", "queues.erp.downstream"),
            ("tidegate.toml:5", "queues.sms.rate"),
            ("tidegate.toml:6", "queues.sms.colour"),
            ("tidegate.toml:8", "queues.sms.downstream.url"),
            ("tidegate.toml", "topic"),
        ];
        for (origin, key) in expected {
            assert!(found.contains(&(origin.to_owned(), key)), "{origin} {key} not in\n{errors}");
        }
        assert_eq!(found.len(), expected.len(), "{errors}");
    }

    #[test]
    fn one_mistake_is_told_once_whatever_section_it_is_in() {
        let good = "[queues.q]\ndownstream.type = \"null\"\n";
        for (bad, key) in [
            ("[server]\nlisten = \"x\"", "server.listen"),
            ("[redis]\nurl = \"http://h\"", "redis.url"),
            ("[queues.p]\nrate = \"x\"\ndownstream.type = \"null\"", "queues.p.rate"),
            ("[topics.t]\nqueues = [\"nope\"]", "topics.t.queues[0]"),
            ("[schedules.s]\nqueue = \"q\"\ncron = \"x\"\npayload = 1", "schedules.s.cron"),
            ("[inbox]\nenabled = 7", "inbox.enabled"),
            ("[telemetry]\nsample = 7", "telemetry.sample"),
        ] {
            let errors = load_with(&format!("{good}{bad}\n"), &[], &[]).unwrap_err();
            let keys: Vec<_> = errors.iter().map(|problem| problem.key.as_str()).collect();
            assert_eq!(keys, [key], "{errors}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_or_are_no_toml_are_named() {
        let sources = Sources { file: Some("/nowhere/tidegate.toml".into()), ..Sources::default() };
        let error = load(&sources).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/tidegate.toml: cannot be read"), "{error}");
        let error = errors_of("[server]\nlisten = \n");
        assert!(error.contains("tidegate.toml:2: is not valid TOML: "), "{error}");
        let error = errors_of("[queues.q]\n[queues.q]");
        assert!(error.contains("tidegate.toml:2: the section [queues.q] stands twice"), "{error}");
    }

    #[test]
    fn settings_of_later_versions_are_refused_as_such() {
        let error = errors_of("[queues.q]\nbreaker = 1\ndownstream.type = \"null\"");
        assert!(error.contains("this version does not have this setting"), "{error}");
    }

    #[test]
    fn variables_that_contradict_each_other_are_refused() {
        for (names, part) in [
            (
                ["TIDEGATE__SERVER", "TIDEGATE__SERVER__LISTEN"],
                "contradicts TIDEGATE__SERVER__LISTEN",
            ),
            (["TIDEGATE__SERVER__LISTEN", "TIDEGATE__Server__Listen"], "sets the same as"),
            (
                ["TIDEGATE__SERVER__", "TIDEGATE__X[99999999999]"],
                "is not a setting; expected a name like",
            ),
        ] {
            let file = "[redis]\nnamespace = \"\"";
            let errors = load_with(file, &names.map(|name| (name, "1")), &[]).unwrap_err();
            let errors = errors.to_string();
            assert!(errors.contains(part), "{errors}");
            assert!(errors.contains("redis.namespace: "), "the rest is read too: {errors}");
        }
    }

    #[test]
    fn lists_and_tables_come_from_the_environment_as_toml() {
        let window = "{ time_zone = \"UTC\", open = [{ from = \"01:00\", to = \"02:00\" }] }";
        let env = [
            ("TIDEGATE__QUEUES__Q__WINDOW", window),
            ("TIDEGATE__QUEUES__Q__DOWNSTREAM__TYPE", "null"),
            ("TIDEGATE__QUEUES__Q__RETRY__SCHEDULE", "[\"1s\"]"),
        ];
        let settings = load_with("", &env, &[]).unwrap();
        let queue = settings.queues.values().next().unwrap();
        assert_eq!(queue.window.as_ref().unwrap().rules().len(), 1);
        assert_eq!(queue.retry.schedule_ms, Some(vec![1000]));
        let error = load_with("", &[("TIDEGATE__SERVER__TOKENS", "[{")], &[]).unwrap_err();
        assert!(error.to_string().contains("server.tokens: is not valid TOML"), "{error}");
    }

    #[test]
    fn a_number_like_text_from_the_environment_stays_a_text() {
        let env = [("TIDEGATE__REDIS__NAMESPACE", "0012")];
        assert_eq!(load_with("", &env, &[]).unwrap().redis.namespace, "0012");
    }

    #[test]
    fn secrets_come_from_beside_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sms.key"), "hunter2\n").unwrap();
        let file = dir.path().join("t.toml");
        let text = "[queues.q]\nrate = \"${RATE}\"\nconcurrency = \"${N}\"\n[queues.q.downstream]\nurl = \"http://h\"\nsigning_secret = \"${file:sms.key}\"";
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(file),
            environment: environment(&[("RATE", "3/s"), ("N", "5")]),
            ..Sources::default()
        };
        let settings = load(&sources).unwrap();
        let queue = settings.queues.values().next().unwrap();
        assert_eq!(
            (queue.own_rate().unwrap().0.to_string().as_str(), queue.concurrency),
            ("3/s", 5)
        );
        let Downstream::Http(http) = &queue.downstream else { panic!() };
        assert_eq!(http.signing_secrets[0].expose(), "hunter2");
        assert!(!render(&settings).contains("hunter2"));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_secret_is_named_with_its_key() {
        let error = errors_of(
            "[queues.q.downstream]\nurl = \"http://h\"\nheaders = { A = \"Bearer ${SMS_TOKEN}\" }",
        );
        assert!(
            error.contains("tidegate.toml:3: queues.q.downstream.headers.A: the environment variable SMS_TOKEN is not set"),
            "{error}"
        );
    }

    /// The examples of the manual are indented; prose is not.
    fn documented_queue() -> String {
        let lines = DEFAULTS.lines().filter_map(|line| line.strip_prefix("#     "));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_manual_tells_the_defaults_of_the_code() {
        let text = documented_queue();
        assert!(text.contains("[queues.NAME.retry]"), "{text}");
        let told = settings_of(&text.replace("NAME", "q"));
        let plain = queue_of(
            "[queues.q.downstream]\nurl = \"https://sms.example/send\"\n[queues.q.batch]\n[queues.q.callback]\nurl = \"https://shop.example/hooks/tidegate\"",
        );
        assert_eq!(*told.queues.values().next().unwrap(), plain);
    }

    #[test]
    fn the_manual_tells_every_key() {
        let shown = render(&settings_of(include_str!("../../../config/example.toml")));
        for line in shown.lines().filter(|line| line.contains(" = ")) {
            let key = line.split(" = ").next().unwrap();
            let is_told = [format!("{key} = "), format!(".{key}]")];
            let is_told = is_told.iter().any(|line| DEFAULTS.contains(line));
            assert!(is_told, "{key} is not in default.toml");
        }
    }

    #[test]
    fn the_example_loads_as_shipped() {
        let settings = settings_of(include_str!("../../../config/example.toml"));
        let names: Vec<_> = settings.queues.keys().map(QueueName::as_str).collect();
        assert_eq!(names, ["erp", "sms"]);
        let sms = settings.queues.values().last().unwrap();
        assert_eq!(sms.own_rate().unwrap().0.to_string(), "20/s");
        let erp = settings.queues.values().next().unwrap();
        assert_eq!(erp.window.as_ref().unwrap().time_zone(), "Asia/Shanghai");
        assert_eq!(erp.batch.unwrap().max_items, 500);
    }

    #[test]
    fn the_example_loads_with_its_secrets_too() {
        let text = include_str!("../../../config/example.toml");
        let with_secrets = text
            .replace("# headers = ", "headers = ")
            .replace("# signing_secret = ", "signing_secret = ");
        assert_ne!(with_secrets, text);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sms.key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
            .unwrap();
        let with_secrets = with_secrets
            .replace("/etc/tidegate/sms.key", &dir.path().join("sms.key").display().to_string());
        let settings = load_with(&with_secrets, &[("SMS_TOKEN", "hunter2")], &[]).unwrap();
        let sms = settings.queues.values().last().unwrap();
        let Downstream::Http(http) = &sms.downstream else { panic!() };
        assert_eq!(http.headers[0].1.expose(), "Bearer hunter2");
        assert!(!http.signing_secrets.is_empty());
    }
}

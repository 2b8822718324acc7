//! Examples at the end of the help of commands whose form is not plain from their usage line.
//!
//! Owns the texts; a test parses each of their commands.

pub(super) const CANCEL: &str = "\
Examples:
  tidegate cancel sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M
  tidegate cancel -                    (ids from stdin, one on each line)";

pub(super) const CHECK: &str = "\
Examples:
  tidegate check tidegate.toml
  tidegate check --config tidegate.toml --queue sms --answer recorded.txt      (written by curl -i)";

pub(super) const EXPLAIN: &str = "\
Examples:
  tidegate explain sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M
  tidegate explain sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M --output json";

pub(super) const SIMULATE: &str = "\
Examples:
  tidegate simulate --config new.toml --backlog --hours 72
  tidegate simulate --config new.toml --trace yesterday.ndjson --output json";

pub(super) const TOP: &str = "\
Examples:
  tidegate top
  tidegate top --tz Asia/Shanghai --url http://gate.example:7411";

pub(super) const RUN: &str = "\
Example:
  tidegate run sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M";

pub(super) const REQUEUE: &str = "\
Examples:
  tidegate requeue sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M
  tidegate requeue-all sms --state dead --rate 5/s      (all of one state)";

pub(super) const RESCHEDULE: &str = "\
Examples:
  tidegate reschedule sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M --delay 90s
  tidegate reschedule sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M --due 2026-11-30T09:00:00Z";

pub(super) const EDIT: &str = "\
Example:
  tidegate edit sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M -d '{\"to\":\"+491511\"}'";

pub(super) const KEY: &str = "\
Examples:
  tidegate key sms                                  (all keys that were given something)
  tidegate key sms +4915112345678 put --limit per_to=2/min      (fewer SMS to one number)
  tidegate key mails acme put --weight 5 --limit per_tenant=40/s
  tidegate key mails acme                           (what it was given)
  tidegate key mails acme delete";

pub(super) const OVERRIDE: &str = "\
Examples:
  tidegate override sms                                 (those that are in force)
  tidegate override sms rate 5/s --for 1h --reason 'the gateway is slow'
  tidegate override erp window closed --until 2026-11-21T06:00:00Z
  tidegate override sms limit quota_day 500/day --for 1d";

pub(super) const PAUSE: &str = "\
Examples:
  tidegate pause sms --reason 'the gateway is being moved'      (until resume)
  tidegate pause sms --for 30m";

pub(super) const PURGE: &str = "\
Examples:
  tidegate purge sms --state dead            (counts them, and removes nothing)
  tidegate purge sms --state dead --yes";

pub(super) const RETRY: &str = "\
Example:
  tidegate retry sms --rate 5/s";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::args::Cli;

    /// The words of a line as a shell takes them apart; a remark in brackets after several spaces is none.
    fn words(line: &str) -> Vec<String> {
        let command = line.split("   ").next().expect("there is a first part");
        let mut parts = Vec::new();
        for (n, part) in command.split('\'').enumerate() {
            if n % 2 == 1 {
                parts.push(part.to_owned());
            } else {
                parts.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        parts
    }

    #[test]
    fn every_example_is_a_command_that_is_understood() {
        let mut seen = 0;
        for command in Cli::command().get_subcommands() {
            let Some(help) = command.get_after_help() else { continue };
            for line in help.to_string().lines().filter_map(|line| line.strip_prefix("  tidegate"))
            {
                let line = format!("tidegate{line}");
                assert!(Cli::try_parse_from(words(&line)).is_ok(), "{line}");
                seen += 1;
            }
        }
        assert!(seen >= 13, "only {seen} examples were found");
    }
}

//! The binary: reads the command line and hands over. Holds no logic.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tidegate::cli::{self, Cli, Command};

fn main() -> ExitCode {
    // Hidden: the child that becomes the managed Redis. Not a command of the CLI.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [command, rest @ ..] = words.as_slice()
        && command == tidegate::store::GUARD_COMMAND
    {
        return complain(&tidegate::store::guard(rest).to_string());
    }
    let cli = Cli::parse();
    #[cfg(feature = "failpoints")]
    let _armed = tidegate::failpoint::arm();
    match cli.command {
        Command::Serve(args) => on_runtime(tidegate::app::serve(args.sources())),
        Command::Local(command) => cli::run_local(&cli.globals, &command),
        Command::Client(command) => on_runtime(cli::run(&cli.globals, *command)),
    }
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => complain(&format!("cannot start the runtime: {error}")),
    }
}

fn complain(what: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "error: {what}"));
    ExitCode::FAILURE
}

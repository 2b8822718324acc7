//! The binary: reads the command line and hands over. Holds no logic.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tidegate::cli::{self, Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(args) => on_runtime(serve(args)),
        Command::Local(command) => cli::run_local(&cli.globals, &command),
        Command::Client(command) => on_runtime(cli::run(&cli.globals, *command)),
    }
}

/// The daemon.
#[expect(clippy::unused_async, reason = "the daemon is asynchronous")]
async fn serve(args: cli::ServeArgs) -> ExitCode {
    drop(args.sources());
    complain("this build has no daemon yet")
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

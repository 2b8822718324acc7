//! The binary: reads the command line and hands over. Holds no logic.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;

use tidegate::app::{FAILURE, THREADS_VARIABLE, USAGE, threads};
use tidegate::cli::{self, Command};

/// A message's memory is taken on one thread and given back on another: a tenth of the CPU of a request goes to
/// the system's allocator, less to this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Hidden: the child that becomes the managed Redis. Not a command of the CLI.
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [command, rest @ ..] = words.as_slice()
        && command == tidegate::store::GUARD_COMMAND
    {
        return complain(&tidegate::store::guard(rest).to_string(), FAILURE);
    }
    cli::complete();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    #[cfg(feature = "failpoints")]
    let _armed = tidegate::failpoint::arm();
    match cli.command {
        Command::Serve(args) => on_runtime(tidegate::app::serve(args.sources())),
        Command::Sink(args) => on_runtime(cli::run_sink(&cli.globals, args)),
        Command::Local(command) => cli::run_local(&cli.globals, &command),
        Command::Client(command) => on_runtime(cli::run(&cli.globals, *command)),
    }
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let asked =
        std::env::var_os(THREADS_VARIABLE).map(|asked| asked.to_string_lossy().into_owned());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match threads(asked.as_deref(), cores) {
        Ok(threads) => threads,
        Err(what) => return complain(&what, USAGE),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => complain(&format!("cannot start the runtime: {error}"), FAILURE),
    }
}

fn complain(what: &str, exit: u8) -> ExitCode {
    drop(writeln!(std::io::stderr(), "error: {what}"));
    ExitCode::from(exit)
}

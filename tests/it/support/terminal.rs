//! A real terminal with a program in it, and somebody who types and reads.
//!
//! Owns the two ends of a pseudoterminal and what its screen would show. Refuses to know what runs in it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::daemon::{Daemon, PROGRAM};
use super::wait::poll_until;

/// What the program has written, and what of it is seen.
#[derive(Default)]
struct Written {
    screen: vt100::Parser,
    bytes: Vec<u8>,
}

/// A terminal of 80 columns and 24 lines.
pub(crate) struct Terminal {
    ours: File,
    /// The program's end stays open here too: its modes are looked at after the program has ended.
    theirs: File,
    before: Termios,
    program: Child,
    written: Arc<Mutex<Written>>,
}

impl Terminal {
    /// Runs `tidegate` with these words in a new terminal; when this end is closed, the program is hung up.
    pub(crate) fn run(daemon: &Daemon, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&ours).expect("it is ours");
        unlockpt(&ours).expect("it is ours");
        let name = ptsname(&ours, Vec::new()).expect("it has a name");
        let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it is ours");
        let theirs = File::from(theirs);
        let before = tcgetattr(&theirs).expect("a terminal has modes");
        resize_to(&theirs, 80, 24);
        let end = || theirs.try_clone().expect("a file can be shared");
        // A session of its own, whose terminal this is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", PROGRAM]).args(words);
        command
            .env("TIDEGATE_URL", daemon.url())
            .env_remove("TIDEGATE_TOKEN")
            .env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color").envs(environment.iter().copied());
        command.current_dir(daemon.dir());
        let program = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        let written = Arc::<Mutex<Written>>::default();
        let ours = File::from(ours);
        follow(ours.try_clone().expect("a file can be shared"), Arc::clone(&written));
        Self { ours, theirs, before, program: program.expect("util-linux is there"), written }
    }

    /// Types these signs.
    pub(crate) fn types(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Makes it another size.
    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        self.written
            .lock()
            .expect("nobody panics with it")
            .screen
            .screen_mut()
            .set_size(lines, columns);
        resize_to(&self.ours, columns, lines);
    }

    /// Waits until the screen shows this; returns the screen.
    pub(crate) async fn shows(&self, text: &str) -> String {
        self.comes_to(&format!("the screen shows {text:?}"), |seen| seen.contains(text)).await
    }

    /// Waits until the screen shows this no more; returns the screen.
    pub(crate) async fn shows_no(&self, text: &str) -> String {
        self.comes_to(&format!("the screen shows no {text:?}"), |seen| !seen.contains(text)).await
    }

    async fn comes_to(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        poll_until(what, async || Some(self.screen()).filter(|seen| is_so(seen))).await
    }

    /// What is seen now.
    pub(crate) fn screen(&self) -> String {
        self.written.lock().expect("nobody panics with it").screen.screen().contents()
    }

    /// Everything that the program wrote.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.written.lock().expect("nobody panics with it").bytes.clone()
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.program.id()).ok().and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end of the program; returns its exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let program = &mut self.program;
        let look = async || program.try_wait().expect("it is our child");
        poll_until("the program ends", look).await.code().unwrap_or(-1)
    }

    /// Waits until the terminal is as it was before: echo and lines, one screen, a cursor, and no marks around what is pasted.
    pub(crate) async fn is_as_before(&self) {
        poll_until("the terminal is as it was", async || {
            let modes = tcgetattr(&self.theirs).expect("a terminal has modes");
            let are_same = modes.local_modes == self.before.local_modes
                && modes.input_modes == self.before.input_modes
                && modes.output_modes == self.before.output_modes;
            let written = self.written.lock().expect("nobody panics with it");
            let screen = written.screen.screen();
            let is_plain =
                !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste();
            (are_same && is_plain && modes.local_modes.contains(LocalModes::ECHO)).then_some(())
        })
        .await;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("── the screen ──\n{}\n──", self.screen());
        }
        let _gone_already = self.program.kill();
        let _ended = self.program.wait();
    }
}

fn resize_to(end: &File, columns: u16, lines: u16) {
    let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(end, size).expect("a terminal has a size");
}

/// Reads what the program writes, until the terminal is closed.
fn follow(mut ours: File, written: Arc<Mutex<Written>>) {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = ours.read(&mut piece) {
            let mut written = written.lock().expect("nobody panics with it");
            written.screen.process(&piece[..length]);
            written.bytes.extend_from_slice(&piece[..length]);
        }
    });
}

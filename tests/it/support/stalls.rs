//! How long this machine kept a ready thread waiting: what a recorder cannot know better than.
//!
//! Owns a thread and a task beside the test's own that do nothing but wake up on time, and their record
//! of when they did not; and the same of the processes that the test has started, as the kernel counts it. A test of
//! moments measures its own lateness instead of guessing it: on an idle machine it is next to none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::guarded::running_of;

const STEP: Duration = Duration::from_millis(1);
/// How often the processes are looked at: what the kernel counts does not get lost in between.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A machine whose threads are never kept waiting for so long can use a limit wholly.
const CALM: Duration = Duration::from_millis(10);
/// For so long a stall counts: a node reckons for that time that its replies may be late again.
const STALL_COUNTS: Duration = Duration::from_millis(500);
/// Nothing that is seen was longer on its way, but for a machine that stalls.
const WAY_MAX: Duration = Duration::from_millis(300);

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Stalls {
    record: Record,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Dropping it ends the task.
    _task: JoinSet<()>,
}

#[derive(Debug, Clone, Copy)]
struct Stall {
    ended: Instant,
    length: Duration,
    of_process: bool,
}

#[derive(Debug, Clone, Default)]
struct Record(Arc<Mutex<Vec<Stall>>>);

impl Record {
    fn note(&self, length: Duration, of_process: bool) {
        if length >= STEP {
            let stall = Stall { ended: Instant::now(), length, of_process };
            self.0.lock().expect("nobody panics with it").push(stall);
        }
    }

    fn all(&self) -> Vec<Stall> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (record, stop) = (Record::default(), Arc::new(AtomicBool::new(false)));
        let (of_thread, stopped) = (record.clone(), Arc::clone(&stop));
        let test = std::thread::current().name().map(ToOwned::to_owned);
        let thread = std::thread::spawn(move || {
            let (mut waits, mut looked_at) = (Waits::default(), Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                of_thread.note(late_by(), false);
                if looked_at.elapsed() >= LOOK_EVERY {
                    looked_at = Instant::now();
                    of_thread.note(waits.look(&running_of(test.as_deref())), true);
                }
            }
        });
        let (mut task, of_task) = (JoinSet::new(), record.clone());
        task.spawn(async move {
            loop {
                let began = Instant::now();
                tokio::time::sleep(STEP).await;
                // Its timer knows whole milliseconds.
                of_task.note(began.elapsed().saturating_sub(2 * STEP), false);
            }
        });
        Self { record, stop, thread: Some(thread), _task: task }
    }

    /// The longest stall of the test's own threads so far.
    pub(crate) fn worst(&self) -> Duration {
        let own = self.record.all().into_iter().filter(|stall| !stall.of_process);
        own.map(|stall| stall.length).max().unwrap_or_default()
    }

    /// The longest stall in a span of time, of the test's threads or of a process that it has started.
    pub(crate) fn worst_between(&self, from: Instant, to: Instant) -> Duration {
        self.between(from, to).map(|stall| stall.length).max().unwrap_or_default()
    }

    /// How long the stalls in a span of time took together that took at least so long each.
    pub(crate) fn sum_between(&self, from: Instant, to: Instant, least: Duration) -> Duration {
        self.between(from, to).map(|stall| stall.length).filter(|length| *length >= least).sum()
    }

    /// What a rate may have lost to stalls: each makes permits void, one of which lasts so long, and for a while the node that was held
    /// up passes over slots that come too soon for it. So each stall may cost twice what it took, and a permit.
    pub(crate) fn may_cost(&self, first: Instant, last: Instant, permit: Duration) -> Duration {
        let from = first.checked_sub(STALL_COUNTS).unwrap_or(first);
        let lengths = self.between(from, last).map(|stall| stall.length);
        lengths.filter(|length| *length >= CALM).map(|length| 2 * length + permit).sum()
    }

    /// By how much the machine may have made something late that was seen at this moment: each step on its way may have been kept waiting.
    pub(crate) fn made_late(&self, seen: Instant) -> Duration {
        let began = seen.checked_sub(WAY_MAX).unwrap_or(seen);
        self.sum_between(began, seen, STEP)
    }

    fn between(&self, from: Instant, to: Instant) -> impl Iterator<Item = Stall> {
        let overlaps = move |stall: &Stall| stall.ended >= from && stall.ended <= to + stall.length;
        self.record.all().into_iter().filter(overlaps)
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only sleeps");
        }
    }
}

/// How much later than asked for this thread runs again.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, which blocks nobody")]
fn late_by() -> Duration {
    let began = Instant::now();
    std::thread::sleep(STEP);
    began.elapsed().saturating_sub(STEP)
}

/// For how long threads of other processes have waited, as the kernel tells: for a processor, and for the disk.
#[derive(Debug, Default)]
struct Waits {
    /// Of each thread in all, until the last look.
    for_processor: HashMap<u32, Duration>,
    /// Of each process that waits for the disk: since when, and how often it had waited for something by then.
    for_disk: HashMap<i32, (Instant, String)>,
}

impl Waits {
    /// The longest wait since the last look.
    fn look(&mut self, processes: &[i32]) -> Duration {
        let of_process = |process: &i32| {
            let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
            let threads = threads.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
            let longest = threads.map(|thread| self.of_thread(*process, thread)).max();
            longest.unwrap_or_default().max(self.on_disk(*process))
        };
        processes.iter().map(of_process).max().unwrap_or_default()
    }

    fn of_thread(&mut self, process: i32, thread: u32) -> Duration {
        let path = format!("/proc/{process}/task/{thread}/schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // Nanoseconds on a processor, nanoseconds of waiting for one, and how often.
        let waited = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        let Some(waited) = waited.map(Duration::from_nanos) else { return Duration::ZERO };
        let before = self.for_processor.insert(thread, waited);
        before.map_or(Duration::ZERO, |before| waited.saturating_sub(before))
    }

    /// How long the first thread of a process has been waiting for the disk by now.
    fn on_disk(&mut self, process: i32) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let waits = field("voluntary_ctxt_switches:").unwrap_or_default().to_owned();
        if !field("State:").is_some_and(|state| state.trim().starts_with('D')) {
            self.for_disk.remove(&process);
            return Duration::ZERO;
        }
        let now = Instant::now();
        let known = self.for_disk.entry(process).or_insert_with(|| (now, waits.clone()));
        if known.1 != waits {
            // Another wait than the one that was seen before.
            *known = (now, waits);
        }
        now - known.0
    }
}

/// What sees no stall excuses nothing, and what sees one everywhere excuses all.
mod tests {
    use std::process::Command;

    use rustix::process::Signal;

    use super::super::guarded::{AtEnd, Guarded};
    use super::*;

    #[tokio::test]
    async fn a_process_that_waits_for_a_processor_is_seen_in_its_span_of_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let stalls = Stalls::watch();
        let began = Instant::now();
        let mut spin = Command::new("sh");
        spin.args(["-c", "while :; do :; done"]);
        let log = folder.path().join("log");
        let cores = std::thread::available_parallelism().expect("cores").get();
        let start = |_| Guarded::start(&spin, &log, AtEnd::Kill, folder.path());
        let mut spinning: Vec<_> = (0..cores * 3).map(start).collect();
        let seen = Duration::from_millis(1);

        super::super::eventually("one of them waits", async || {
            stalls.between(began, Instant::now()).any(|it| it.of_process && it.length > seen)
        })
        .await;

        let before =
            began.checked_sub(Duration::from_secs(60)).expect("the machine runs for longer");
        let long_before = before - Duration::from_secs(1);
        assert_eq!(stalls.worst_between(long_before, before), Duration::ZERO);
        assert_eq!(stalls.sum_between(began, Instant::now(), Duration::MAX), Duration::ZERO);
        for process in &mut spinning {
            process.signal(Signal::KILL);
            process.wait().await;
        }
    }
}

//! Which cores a process may run on: one for Redis alone, for where it is asked what its scripts take and not
//! what the kernel does with them.

use anyhow::Result;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// This process leaves its last core to somebody else; whatever it starts meanwhile does so too. Ends when
/// dropped.
#[derive(Debug)]
pub(crate) struct LastLeft {
    before: CpuSet,
    pub(crate) core: usize,
}

impl LastLeft {
    /// `None`: there is only one.
    pub(crate) fn leave() -> Result<Option<Self>> {
        let before = sched_getaffinity(None)?;
        let Some(core) = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core)) else {
            return Ok(None);
        };
        if before.count() < 2 {
            return Ok(None);
        }
        let mut rest = before;
        rest.unset(core);
        confine(&rest)?;
        Ok(Some(Self { before, core }))
    }
}

impl Drop for LastLeft {
    fn drop(&mut self) {
        // What may not be undone here could not be done before.
        drop(confine(&self.before));
    }
}

/// Every thread that this process has.
fn confine(cores: &CpuSet) -> Result<()> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let pid = task?.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        // A thread may end while we look.
        let _ended = pid.map(|pid| sched_setaffinity(Some(pid), cores));
    }
    Ok(())
}

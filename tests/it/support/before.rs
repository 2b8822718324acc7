//! The program of an earlier commit, built from the history of this repository: what an upgrade begins with.
//!
//! Owns where it is built, once for each target folder, beside the dependencies that the tests are built with. Refuses
//! to know what is done with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::daemon::PROGRAM;

/// The program of this commit; `None`, said in plain words, where this checkout has no history with it.
pub(crate) fn program_of(commit: &str) -> Option<PathBuf> {
    // One at a time: scenarios run side by side.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _alone = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = Path::new(PROGRAM).ancestors().nth(2).expect("target/<profile>/tidegate");
    let profile = Path::new(PROGRAM).parent().and_then(Path::file_name);
    assert_eq!(profile, Some("debug".as_ref()), "the tests are built without --release");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/before.sh");
    let output = Command::new("sh").arg(script).arg(commit).arg(target).output().expect("sh");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => said.lines().last().map(PathBuf::from),
        Some(3) => {
            println!("not tried: {said}");
            None
        }
        code => panic!(
            "the program of {commit} was not built ({code:?}): {said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

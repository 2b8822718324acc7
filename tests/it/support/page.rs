//! Pages of the documentation, as a reader uses them: the configuration is copied, the commands are run.
//!
//! Owns what of a page is which. Refuses to know what a page is about.

use std::path::{Path, PathBuf};

use super::daemon::Daemon;
use super::downstream::Downstream;

/// The address that pages show: the default, which a test cannot use.
const ADDRESS_SHOWN: &str = "http://127.0.0.1:7411";
/// Stops at the first command that fails, and says which.
const PREAMBLE: &str = r#"set -euo pipefail; trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR"#;

/// A page that was read.
#[derive(Debug)]
pub(crate) struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    /// A file of the repository.
    pub(crate) fn read(path: impl AsRef<Path>) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&path).expect("the page is there");
        Self { path, text }
    }

    /// Whether there is anything to run.
    pub(crate) fn has_commands(&self) -> bool {
        self.text.lines().any(|line| line.trim() == "```sh")
    }

    /// The `toml` blocks of the page as one file, in which every host is a first part of the path at
    /// `downstream`: `https://erp.example/orders` is its `/erp.example/orders`.
    pub(crate) fn config(&self, downstream: &Downstream) -> String {
        self.blocks("```toml").replace("https://", &downstream.url("/"))
    }

    /// The `toml` blocks as one file, and the `sh` blocks as one script, each with these replacements.
    pub(crate) fn files(&self, instead: &[(&str, String)]) -> (String, String) {
        let replaced = |fence| {
            instead.iter().fold(self.blocks(fence), |text, (from, to)| text.replace(from, to))
        };
        (replaced("```toml"), PREAMBLE.to_owned() + "; " + &replaced("```sh"))
    }

    /// Each `toml` block by itself.
    pub(crate) fn configurations(&self) -> Vec<String> {
        let parts = self.text.split("```toml\n").skip(1);
        parts.filter_map(|part| part.split("\n```").next()).map(ToOwned::to_owned).collect()
    }

    /// The commands of the `console` blocks, without their prompt.
    pub(crate) fn console(&self) -> Vec<String> {
        let blocks = self.blocks("```console");
        blocks
            .lines()
            .map(str::trim_start)
            .filter_map(|line| line.strip_prefix("$ "))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Runs the `sh` blocks as one script, as a reader would who started this daemon.
    pub(crate) async fn run(&self, daemon: &Daemon) -> String {
        let script =
            PREAMBLE.to_owned() + &self.blocks("```sh").replace(ADDRESS_SHOWN, daemon.url());
        let mut bash = tokio::process::Command::new("bash");
        bash.arg("-c").arg(script);

        let output = daemon.run(bash).await;

        let page = self.path.display();
        assert_eq!(output.code, 0, "{page}:\n{}\n{}", output.stdout, output.stderr);
        output.stdout
    }

    /// What is fenced so, in which every line keeps its number.
    fn blocks(&self, fence: &str) -> String {
        let (mut blocks, mut is_inside) = (String::new(), false);
        for line in self.text.lines() {
            // In a list, a block is as far to the right as its item.
            match line.trim() {
                opened if opened == fence => is_inside = true,
                "```" => is_inside = false,
                _ if is_inside => blocks.push_str(line.trim_end()),
                _ => {}
            }
            blocks.push('\n');
        }
        blocks
    }
}

//! The picture of a trace in docs/traces.md: what the collector got, drawn as lines of text.
//!
//! Owns the drawing, and that the page shows the spans that there are. Times differ from run to run and are not compared.

use crate::support::SeenSpan;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/traces.md");
/// With this variable set, the picture is written instead of compared.
const WRITE: &str = "WRITE_TRACE";
const MARK: &str = "<!-- trace, written by: WRITE_TRACE=1 cargo test --locked --features failpoints --test it traces::chain -->\n```text\n";
const END: &str = "```\n";
/// Columns for the names of spans, for what they say, and for their times.
const NAMES: usize = 32;
const WORDS: usize = 34;
const TIMES: u64 = 40;

/// Holds the page against a trace, or writes it.
pub(super) fn keep(spans: &[SeenSpan]) {
    let page = std::fs::read_to_string(PAGE).expect("docs/traces.md is there");
    let (before, rest) = page.split_once(MARK).expect("docs/traces.md has the mark of the picture");
    let (old, after) = rest.split_once(END).expect("the picture ends");
    let new = drawn(spans);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(PAGE, [before, MARK, &new, END, after].concat()).expect("docs/ is ours");
        return;
    }
    assert_eq!(shape(old), shape(&new), "docs/traces.md shows other spans than there are: {MARK}");
}

/// What of a picture is the same in every run: names and words, without numbers and bars.
fn shape(picture: &str) -> Vec<String> {
    let left = |line: &str| line.chars().take(NAMES + WORDS).collect::<String>();
    let still = |line: String| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let lines = picture.lines().skip(1).map(left).map(still);
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn drawn(spans: &[SeenSpan]) -> String {
    let begin_us = spans.iter().map(|span| span.start_us).min().expect("there are spans");
    let end_us = spans.iter().map(|span| span.end_us).max().expect("there are spans");
    let whole_us = (end_us - begin_us).max(1);
    let end_ms = format!("{} ms", whole_us / 1000);
    let width = usize::try_from(TIMES).expect("it is small");
    let room = width - 4;
    let head = format!("{:NAMES$}{:WORDS$}0 ms{end_ms:>room$}\n", "span", "");
    let mut ordered: Vec<&SeenSpan> = spans.iter().collect();
    // A parent stands above what is below it, also where both begin in the same millisecond.
    ordered.sort_by_key(|span| (depth(spans, span), span.start_us, span.end_us));
    ordered.into_iter().fold(head, |text, span| {
        let name = format!("{}{}", "  ".repeat(depth(spans, span)), span.name);
        let column = |us: u64| usize::try_from((us - begin_us) * TIMES / whole_us).expect("small");
        let (from, to) = (column(span.start_us), column(span.end_us).min(width));
        let bar = " ".repeat(from.min(width - 1)) + &"█".repeat(to.saturating_sub(from).max(1));
        text + format!("{name:NAMES$}{:WORDS$}{bar}", words(span)).trim_end() + "\n"
    })
}

/// How deep a span stands below the first of its trace that is here.
fn depth(spans: &[SeenSpan], span: &SeenSpan) -> usize {
    let parent = spans.iter().find(|other| other.span == span.parent);
    parent.map_or(0, |parent| 1 + depth(spans, parent))
}

/// What a span says, in short: which gate was waited for at least half a second, or what an attempt came to.
fn words(span: &SeenSpan) -> String {
    let waits = span.attributes.iter().filter_map(|(name, ms)| {
        let what = name.strip_prefix("tidegate.waited.")?.strip_suffix("_ms")?;
        let is_long = ms.parse::<u64>().is_ok_and(|ms| ms >= 500);
        // How long a turn takes is this machine's affair.
        (is_long && what != "turn").then(|| format!("{what} {ms} ms"))
    });
    let attempt = ["http.response.status_code", "tidegate.outcome"];
    let outcomes = attempt.iter().map(|name| span.attribute(name).to_owned());
    let all: Vec<_> = waits.chain(outcomes).filter(|word| !word.is_empty()).collect();
    all.join(", ")
}

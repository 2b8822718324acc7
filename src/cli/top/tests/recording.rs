//! The session that docs/top.md shows: the screens as they are, one after the other.
//!
//! Owns which keys are pressed. The page has a mark for each screen, and the text below a mark is written from here.

use super::kit::Operator;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/top.md");
/// With this variable set, the page is written instead of compared.
const WRITE: &str = "WRITE_TOP";
const COMMAND: &str = "WRITE_TOP=1 cargo test --locked --features failpoints --lib cli::top";

/// Each screen by its mark, and the keys that lead to it from the one before.
const SESSION: [(&str, &str); 6] = [
    ("queues", "Home"),
    ("queue", "Enter"),
    ("message", "Enter"),
    ("why", "Esc Tab w"),
    ("pause", "p"),
    ("doctor", "Esc Esc d"),
];

#[test]
fn the_page_shows_the_screens_as_they_are() {
    let mut operator = Operator::starts();
    let mut page = std::fs::read_to_string(PAGE).unwrap();
    let before = page.clone();
    for (mark, keys) in SESSION {
        operator.presses(keys);
        if mark == "pause" {
            operator.types("the gateway is overloaded");
            operator.presses("Enter");
        }
        page = with_screen(&page, mark, &operator.sees());
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(PAGE, page).unwrap();
    } else {
        assert!(page == before, "docs/top.md shows other screens than there are; run {COMMAND}");
    }
}

/// The page with this screen in the block below its mark.
fn with_screen(page: &str, mark: &str, screen: &str) -> String {
    let mark = format!("<!-- screen: {mark}, written by: {COMMAND} -->\n```text\n");
    let (above, rest) =
        page.split_once(&mark).unwrap_or_else(|| panic!("docs/top.md lacks {mark}"));
    let (_, below) = rest.split_once("\n```").expect("the block ends");
    format!("{above}{mark}{screen}\n```{below}")
}

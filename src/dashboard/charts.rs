//! Charts as drawings, made of numbers alone.
//!
//! Owns their geometry. Colours are in the style sheet, since pages allow no style of their own. What is written into a
//! drawing is made of numbers, of fixed words and of escaped texts. Refuses to know where numbers come from.

use std::fmt::Write as _;

use super::words::grouped;
use crate::domain::state::State;
use crate::wire::queue::CountsView;

/// The states that a bar shows: what is still to be done, and what was given up.
const BAR_STATES: [State; 6] =
    [State::Leased, State::Ready, State::Scheduled, State::Accepted, State::Uncertain, State::Dead];
const BAR_WIDTH: u64 = 180;
/// What is there at all is seen.
const PART_WIDTH_MIN: u64 = 3;
const COLUMN_WIDTH: usize = 26;
const COLUMNS_HEIGHT: u64 = 90;
const MINUTES_A_STEP: usize = 5;
const MINUTES_HEIGHT: u64 = 40;

/// A bar with a part for each state.
pub(super) fn state_bar(counts: &CountsView) -> String {
    let parts: Vec<_> = BAR_STATES.iter().map(|state| (*state, counts.of(*state))).collect();
    let total: u64 = parts.iter().map(|(_, count)| count).sum();
    let said: Vec<_> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{} {state}", grouped(*count)))
        .collect();
    let said = if said.is_empty() { "nothing waits".to_owned() } else { said.join(", ") };
    let mut svg = format!(
        r#"<svg class="bar" viewBox="0 0 {BAR_WIDTH} 10" preserveAspectRatio="none" role="img" aria-label="{said}"><title>{said}</title><rect class="track" width="{BAR_WIDTH}" height="10"/>"#
    );
    let shown = parts.iter().filter(|(_, count)| *count > 0).count() as u64;
    let shared = BAR_WIDTH - shown * PART_WIDTH_MIN;
    let mut at = 0;
    for (state, count) in parts.iter().filter(|(_, count)| *count > 0) {
        let width = PART_WIDTH_MIN + scaled(*count, total, shared);
        // Writing into a text does not fail.
        let _written =
            write!(svg, r#"<rect class="s-{state}" x="{at}" width="{width}" height="10"/>"#);
        at += width;
    }
    svg + "</svg>"
}

/// One column of a chart.
#[derive(Debug, Clone)]
pub(super) struct ChartColumn {
    /// What stands below it; may be empty.
    pub(super) label: String,
    /// What it says when it is pointed at.
    pub(super) said: String,
    /// The parts, the lowest first: a class of the style sheet, and how much.
    pub(super) parts: Vec<(&'static str, u64)>,
}

/// A chart of columns; `said`: what it shows.
pub(super) fn columns(said: &str, columns: &[ChartColumn]) -> String {
    let height_of = |column: &ChartColumn| column.parts.iter().map(|(_, count)| count).sum::<u64>();
    let most = columns.iter().map(height_of).max().unwrap_or_default().max(1);
    let (width, height) = (columns.len() * COLUMN_WIDTH, COLUMNS_HEIGHT + 16);
    let mut svg = format!(
        r#"<svg class="columns" viewBox="0 0 {width} {height}" preserveAspectRatio="xMinYMid meet" role="img" aria-label="{}">"#,
        escaped(said)
    );
    for (n, column) in columns.iter().enumerate() {
        let x = n * COLUMN_WIDTH;
        let mut top = COLUMNS_HEIGHT;
        svg.push_str("<g>");
        let _written = write!(svg, "<title>{}</title>", escaped(&column.said));
        for (class, count) in &column.parts {
            let part = scaled(*count, most, COLUMNS_HEIGHT).max(u64::from(*count > 0)).min(top);
            top -= part;
            let _written = write!(
                svg,
                r#"<rect class="{class}" x="{}" y="{top}" width="{}" height="{part}"/>"#,
                x + 1,
                COLUMN_WIDTH - 2
            );
        }
        let _written = write!(
            svg,
            r#"<rect class="hit" x="{x}" width="{COLUMN_WIDTH}" height="{COLUMNS_HEIGHT}"/><text x="{}" y="{}">{}</text></g>"#,
            x + COLUMN_WIDTH / 2,
            COLUMNS_HEIGHT + 12,
            escaped(&column.label)
        );
    }
    let _written = write!(svg, r#"<text class="most" x="2" y="10">{}</text></svg>"#, grouped(most));
    svg
}

/// A line of a day, minute by minute; `said`: what it shows. What is drawn is the most of each five minutes, so that no
/// moment is lost.
pub(super) fn minutes(class: &str, said: &str, counts: &[u32]) -> String {
    let parts: Vec<u64> = counts
        .chunks(MINUTES_A_STEP)
        .map(|step| step.iter().map(|count| u64::from(*count)).max().unwrap_or_default())
        .collect();
    let most = parts.iter().copied().max().unwrap_or_default();
    let mut line = format!("M0 {MINUTES_HEIGHT}");
    for (x, part) in parts.iter().enumerate() {
        let y = MINUTES_HEIGHT - scaled(*part, most, MINUTES_HEIGHT - 2).max(u64::from(*part > 0));
        let _written = write!(line, "V{y}H{}", x + 1);
    }
    let width = parts.len().max(1);
    let said = escaped(&format!("{said}; at most {} in a minute", grouped(most)));
    format!(
        r#"<svg class="minutes {class}" viewBox="0 0 {width} {MINUTES_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{said}"><title>{said}</title><path d="{line}V{MINUTES_HEIGHT}Z"/></svg>"#
    )
}

/// A bar that is filled as far as something is used; `said`: how far.
pub(super) fn meter(used: u64, of: u64, said: &str) -> String {
    let width = scaled(used.min(of), of, 100);
    let class = if used >= of { "full" } else { "used" };
    let said = escaped(said);
    format!(
        r#"<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{said}"><title>{said}</title><rect class="track" width="100" height="8"/><rect class="{class}" width="{width}" height="8"/></svg>"#
    )
}

/// `count` of `of`, as a part of `whole`.
fn scaled(count: u64, of: u64, whole: u64) -> u64 {
    let part = u128::from(count) * u128::from(whole) / u128::from(of.max(1));
    u64::try_from(part).unwrap_or(whole)
}

/// A text inside a drawing.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_what_is_there() {
        let counts = CountsView::new(|state| match state {
            State::Ready => 1_000_000,
            State::Dead => 1,
            State::Delivered => 7,
            _ => 0,
        });
        let svg = state_bar(&counts);
        assert!(svg.contains("1,000,000 ready, 1 dead"), "{svg}");
        assert!(svg.contains(r#"<rect class="s-ready" x="0" width="176""#), "{svg}");
        assert!(svg.contains(r#"<rect class="s-dead" x="176" width="3""#), "{svg}");
        assert!(state_bar(&CountsView::new(|_| 0)).contains("nothing waits"));
    }

    #[test]
    fn texts_in_a_drawing_are_escaped() {
        let column = ChartColumn {
            label: "<b>".to_owned(),
            said: "\"><script>".to_owned(),
            parts: vec![("c-sent", 5), ("c-left", 5)],
        };
        let svg = columns("a & b", &[column]);
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("a &amp; b"));
        assert!(svg.contains(r#"height="45""#), "{svg}");
    }

    #[test]
    fn a_day_is_drawn_by_the_most_of_each_step() {
        let svg = minutes("h-taken", "10 taken in", &[0, 0, 0, 0, 0, 1, 9, 0, 0, 0]);
        assert!(svg.contains("M0 40V40H1V2H2V40Z"), "{svg}");
        assert!(svg.contains("at most 9 in a minute"), "{svg}");
        assert!(minutes("h-late", "none", &[]).contains("M0 40V40Z"));
    }

    #[test]
    fn a_meter_is_full_and_no_fuller() {
        assert!(meter(5, 10, "half").contains(r#"class="used" width="50""#));
        assert!(meter(50, 10, "over").contains(r#"class="full" width="100""#));
        assert!(meter(0, 0, "none").contains("width=\"0\""));
    }
}

//! How opening hours and dates are written, wherever a section has them.

use jiff::civil::Date;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, Table, custom, parsed};
use crate::domain::window::{Days, Hours, OpeningRule, TimeOfDay};

const FROM: (&str, &str) = ("from", "A time of day");
const TO: (&str, &str) = ("to", "A time of day, exclusive");

/// Hours on days of the week.
pub(super) fn rule() -> impl Kind<Value = OpeningRule> {
    custom("a table with `days`, `from` and `to`", read_rule, |rule: &OpeningRule| {
        Shown::Table(Table::from([
            ("days", rule.days().to_string().into()),
            ("from", rule.from().to_string().into()),
            ("to", rule.to().to_string().into()),
        ]))
    })
    .shown_as(Form::Texts(&[("days", "The days on which it begins"), FROM, TO]))
}

fn read_rule(field: &Field<'_>) -> Read<OpeningRule> {
    field.section(&[], |section| {
        let days = section.read_or("days", Days::ALL, |field| parsed("days").read(field));
        let hours = read_hours(section);
        Ok(OpeningRule::new(days?, hours?))
    })
}

/// Hours of one date.
pub(super) fn hours() -> impl Kind<Value = Hours> {
    let read = |field: &Field<'_>| field.section(&[], read_hours);
    custom("a table with `from` and `to`", read, |hours: &Hours| {
        Shown::Table(Table::from([
            ("from", hours.from().to_string().into()),
            ("to", hours.to().to_string().into()),
        ]))
    })
    .shown_as(Form::Texts(&[FROM, TO]))
}

fn read_hours(section: &Section<'_>) -> Read<Hours> {
    let time = || parsed::<TimeOfDay>("a time of day");
    let from = section.required("from", "from = \"01:00\"", |field| time().read(field));
    let to = section.required("to", "to = \"04:00\"", |field| time().read(field));
    Hours::new(from?, to?).map_err(|error| section.wrong("from", error.to_string()))
}

/// Strictly a date: jiff alone would also take a moment and forget its time.
pub(super) fn date() -> impl Kind<Value = Date> {
    let read = |field: &Field<'_>| {
        field.parse(|text| {
            let parsed = (text.len() == 10).then(|| text.parse().ok()).flatten();
            parsed.ok_or_else(|| {
                format!("{text:?} is not a valid date; expected YYYY-MM-DD, for example 2026-12-25")
            })
        })
    };
    custom("a date", read, |date: &Date| date.to_string().into())
}

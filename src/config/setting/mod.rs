//! How a setting is declared: once, with its name, kind, bounds, default and sentence.
//!
//! Owns the macro [`settings!`] and what follows from a declaration: the reading, the value in force as it is
//! shown, and the line of the manual. Refuses to know any setting (see `sections`).

mod bounds;
mod declaration;
mod form;
mod kinds;
mod shown;
mod toml_text;

pub use bounds::Bounds;
pub(super) use declaration::{Beside, Declaration, Kind, beside};
pub use declaration::{Declared, DeclaredSection};
pub use form::{Form, ShownSetting, ShownVariant};
pub(super) use kinds::{
    LONG_MS, custom, duration, list, number, parsed, size, size_in_memory, switch, text, whole,
    word,
};
pub(super) use shown::{MASK, SIGNED};
pub use shown::{Shown, Table};
pub(super) use toml_text::write_section;

/// Declares the settings of one section.
///
/// ```text
/// settings! {
///     struct Batch in "queues.NAME.batch" of BatchPolicy {
///         /// Most messages in a batch.
///         max_items: u32 = whole(1..=10_000).or(500), |it| it.max_items;
///     }
/// }
/// ```
///
/// The comment is the sentence of the manual. Behind `=` stand the kind, its bounds and what holds if the key
/// is not set: `or` a default, `unset_is` a default that other settings may change, `unset_means` no value, or
/// `required`. Behind that stands how the value in force is found in what the daemon works with (`of`). A key
/// whose name is a word of Rust, or that is read beside the others (a field that begins with `_`), is named
/// by `as`.
///
/// From this come a struct with one reading for each setting (`Batch::of`), all of which are made, so that every
/// mistake is reported at once; the view of the values in force (`Batch::shown`); and the lines of the manual
/// (`Batch::declared`).
macro_rules! settings {
    (
        struct $name:ident in $section:literal of $of:ty {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(as $key:literal)? : $type:ty = $declared:expr, |$it:ident| $shown:expr;
            )+
        }
    ) => {
        pub(in crate::config) struct $name {
            $($field: $crate::config::load::reader::Read<$type>,)+
        }

        impl $name {
            $(
                fn $field() -> impl $crate::config::setting::Declaration<Out = $type> {
                    $declared
                }
            )+

            /// Reads every setting of the section.
            fn of(section: &$crate::config::load::reader::Section<'_>) -> Self {
                use $crate::config::setting::Declaration as _;
                Self {
                    $($field: Self::$field().read(
                        section,
                        $crate::config::setting::settings!(@key $field $($key)?),
                    ),)+
                }
            }

            /// The values in force.
            pub(in crate::config) fn shown(from: &$of) -> $crate::config::setting::Table {
                use $crate::config::setting::Declaration as _;
                let mut table = $crate::config::setting::Table::default();
                $({
                    let $it = from;
                    table.push(
                        $crate::config::setting::settings!(@key $field $($key)?),
                        Self::$field().show(&$shown),
                    );
                })+
                table
            }

            /// What the manual says.
            pub(in crate::config) fn declared() -> $crate::config::setting::DeclaredSection {
                use $crate::config::setting::Declaration as _;
                let settings = [
                    $(Self::$field().declared(
                        $crate::config::setting::settings!(@key $field $($key)?),
                        concat!($($doc),+),
                    ),)+
                ];
                $crate::config::setting::DeclaredSection {
                    name: $section,
                    settings: settings.into_iter().flatten().collect(),
                    shown: vec![
                        $(Self::$field().shown(
                            $crate::config::setting::settings!(@key $field $($key)?),
                            concat!($($doc),+),
                        ),)+
                    ],
                    variants: Vec::new(),
                }
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

pub(super) use settings;

//! Raw words in, domain values out.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.
//!
//! A load has three passes. `load/sources` lays the layers over one another and names the origin of every
//! value; `load/reader` walks the result, each section in its own file below `sections/`, collecting every
//! problem; what comes out are domain values, which make sense by construction. [`load`] does it all and
//! touches nothing else, so that a reload can be tried and thrown away.
//!
//! Each setting is declared once, in its section (see `setting`): from the declaration follow its reading,
//! the value in force that `check` and the API show, and its line in `config/default.toml` and docs/configuration.md.

mod certificates;
mod effective;
mod load;
mod redis_address;
mod reload;
mod sections;
mod setting;
mod settings;
#[cfg(test)]
pub(crate) mod testing;

pub use certificates::{certificates_of_queue, certificates_out_of_date};
pub use effective::{effective, render};
pub use load::{ConfigErrors, Problem, Sources, load};
pub use reload::{digest, restart_needed};
pub use sections::declared;
pub use sections::redis::MANAGED_SOCKET;
pub use sections::token::expiry_ms;
pub use setting::{
    Bounds, Declared, DeclaredSection, Form, Shown, ShownSetting, ShownVariant, Table,
};
pub use settings::{
    Durability, InboxSettings, RedisSettings, RedisTarget, Scope, ServerSettings, Settings,
    SettleAt, TelemetrySettings, Token,
};

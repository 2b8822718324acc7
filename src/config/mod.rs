//! Raw words in, domain values out.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.
//!
//! A load has three passes. `load/sources` lays the layers over one another and names the origin of every
//! value; `load/reader` walks the result, each section in its own file below `sections/`, collecting every
//! problem; what comes out are domain values, which make sense by construction. [`load`] does it all and
//! touches nothing else, so that a reload can be tried and thrown away.

mod kinds;
mod load;
mod redis_address;
mod reload;
mod render;
mod sections;
mod settings;
#[cfg(test)]
mod testing;
mod toml_text;

pub use load::{ConfigErrors, Problem, Sources, load};
pub use reload::{digest, restart_needed};
pub use render::render;
pub use sections::redis::MANAGED_SOCKET;
pub use sections::token::expiry_ms;
pub use settings::{
    Durability, InboxSettings, RedisSettings, RedisTarget, Scope, ServerSettings, Settings, Token,
};

//! Raw words in, domain values out.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.
//!
//! A load has three passes. `sources` lays the layers over one another and names the origin of every
//! value; `reader` walks the result, each section in its own file, collecting every problem; what
//! comes out are domain values, which make sense by construction. [`load`] does it all and touches
//! nothing else, so that a reload can be tried and thrown away.

mod batch;
mod callback;
mod downstream;
mod errors;
mod headers;
mod inbox;
mod kinds;
mod load;
mod probe;
mod queue;
mod reader;
mod receipts;
mod redis;
mod redis_address;
mod reload;
mod render;
mod retention;
mod retry;
mod schedule;
mod secrets;
mod server;
mod settings;
mod sources;
#[cfg(test)]
mod testing;
mod token;
mod toml_lines;
mod toml_text;
mod topic;
mod window;

pub use errors::{ConfigErrors, Problem};
pub use load::load;
pub use redis::MANAGED_SOCKET;
pub use reload::{digest, restart_needed};
pub use render::render;
pub use settings::{
    Durability, InboxSettings, RedisSettings, RedisTarget, Scope, ServerSettings, Settings, Token,
};
pub use sources::Sources;
pub use token::expiry_ms;

//! Raw words in, domain values out.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.

mod settings;

pub use settings::{
    Durability, RedisSettings, RedisTarget, Scope, ServerSettings, Settings, Token,
};

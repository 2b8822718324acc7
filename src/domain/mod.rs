//! The pure core: words, rules and arithmetic.
//!
//! Owns what a message, a window, a limit, an outcome and a retry *mean*. Refuses to know tokio,
//! Redis, HTTP or the clock: whoever calls passes `now` and randomness in.

pub mod answer_body;
pub mod answer_rules;
pub mod backlog;
pub mod callback;
pub mod callback_host;
pub mod change;
pub mod classify;
pub mod depth;
pub mod details;
pub mod doctor;
pub mod draft;
pub mod durability;
pub mod endpoint;
pub mod explain;
pub mod failing;
pub mod filter;
pub mod forecast;
pub mod gates;
pub mod headers;
pub mod human;
pub mod id;
pub mod inbox;
pub mod index_fault;
pub mod json_fields;
pub mod keys;
pub mod lease;
pub mod limit;
pub mod loss;
pub mod message;
pub mod operation;
pub mod outcome;
pub mod overrides;
pub mod payload;
pub mod policy;
pub mod probe;
pub mod queue_pattern;
pub mod receipt;
pub mod recipient_hours;
pub mod request_template;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod settlement;
pub mod shown;
pub mod spread;
pub mod state;
pub mod suggest;
pub mod time;
pub mod topic;
pub mod units;
pub mod waited;
pub mod window;
pub mod zone;

//! The dashboard: pages for people, rendered here and whole without script.
//!
//! It is a client of the API inside the process: each page asks the API's own router, with the token of whoever looks, and
//! reads the answers as `wire`. So scopes, queues of tokens, checks, problems and the list of operators' actions
//! are the API's own. Owns pages, sessions of browsers, and what protects forms. Refuses to know how anything is kept.

mod ask;
mod assets;
mod base_path;
mod charts;
mod cookies;
mod for_reading;
mod form;
mod frame;
mod live;
mod origin;
mod pages;
mod problem_page;
mod routes;
mod session;
mod state;
mod step;
mod step_words;
mod visit;
mod words;
mod zones;

#[cfg(test)]
mod tests;

pub use routes::{DashboardParts, with_dashboard};

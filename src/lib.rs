#![doc = include_str!("ARCHITECTURE.md")]

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod domain;
pub mod engine;
pub mod failpoint;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod wire;
pub mod workers;

//! What every scenario stands on: a private Redis, a scripted downstream, the real daemon.
//!
//! Owns the life of the processes that tests start (nothing is left behind, even by a killed test)
//! and the vocabulary of seed and get helpers. Refuses to know any scenario.

pub(crate) mod before;
pub(crate) mod clocks;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod daemon;
mod document;
pub(crate) mod downstream;
pub(crate) mod events;
pub(crate) mod faults;
mod faults_work;
pub(crate) mod flow;
pub(crate) mod guarded;
pub(crate) mod http;
#[cfg(feature = "failpoints")]
pub(crate) mod nodes;
pub(crate) mod page;
pub(crate) mod ports;
pub(crate) mod prometheus;
pub(crate) mod redis;
mod replicas_work;
mod row;
pub(crate) mod scene;
pub(crate) mod script;
pub(crate) mod seen;
pub(crate) mod sentinel;
pub(crate) mod stalls;
pub(crate) mod terminal;
pub(crate) mod vocabulary;
pub(crate) mod wait;
pub(crate) mod wire;
mod works;

pub(crate) use clocks::Clocks;
pub(crate) use cluster::Cluster;
pub(crate) use collector::{Collector, SeenSpan};
pub(crate) use daemon::Daemon;
pub(crate) use downstream::Downstream;
pub(crate) use events::{Listener, Told};
pub(crate) use flow::Flow;
#[cfg(feature = "failpoints")]
pub(crate) use nodes::{Nodes, NodesOptions};
pub(crate) use page::Page;
pub(crate) use redis::RedisServer;
pub(crate) use row::Row;
pub(crate) use scene::{QUEUE, Scene, payloads, queue_toml};
pub(crate) use script::{Answer, Gate, batch_results};
pub(crate) use sentinel::SentinelSet;
pub(crate) use stalls::Stalls;
pub(crate) use wait::{eventually, within};
pub(crate) use wire::Wire;

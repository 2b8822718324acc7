//! Every command against a scripted daemon on a real socket: what it asks, what it shows, how it
//! ends.

mod admin;
pub(super) mod answers;
mod batch;
mod doctor;
mod kit;
mod limits;
mod local;
mod messages;
mod send;
mod trouble;
mod waiting;
mod zones;

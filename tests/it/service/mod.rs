//! The daemon as a service: start, files, log, rights, alerts.

mod alerts;
mod install;
mod logs;
mod managed;
mod refusals;
mod rights;
mod systemd;

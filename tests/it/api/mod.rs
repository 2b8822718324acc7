//! The HTTP API, as producers, checks and attackers meet it.

mod access;
mod doctor;
mod events;
mod hostile;
mod http;
mod idle;
mod input;
mod pages;
mod readings;
mod routes;

//! The screen of `top`, key by key, on a terminal of 80 columns and 24 lines that only a test sees.

mod kit;
mod messages;
mod queues;
mod recording;
mod safety;
mod screens;
mod trouble;

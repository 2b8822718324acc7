//! The command line against a real daemon, and the practice downstream.

mod batch;
mod commands;
mod doctor;
mod first_words;
mod sink;
mod tables;
mod top;

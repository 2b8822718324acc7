//! README, the pages of docs/ and their examples are played as they stand.

mod examples;
mod from;
mod pages;
mod readme;

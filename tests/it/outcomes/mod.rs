//! What becomes of a message, and who learns of it.

mod callbacks;
mod doubt;
mod erp;
mod probe;
mod receipt_words;
mod receipts;
mod retention;
mod single;
mod timeouts;
mod uncertain;

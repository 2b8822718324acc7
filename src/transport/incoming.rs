//! What a downstream says on its own account, on the connections over which it is called.
//!
//! Owns the shape of it and the word back. Refuses to know which message it is about: that is decided where messages are kept.

use tokio::sync::{mpsc, oneshot};

use crate::domain::receipt::Receipt;

/// What comes of a receipt, so that its protocol can answer the downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKept {
    /// It closed its message, or is kept for one that is not known yet, or had come before.
    Yes,
    /// It is about no message that is known, or contradicts what is known: it need not come again.
    Useless,
    /// It could not be kept now: it has to come again.
    NotNow,
}

/// A receipt that came on a connection. The downstream may forget it once `answer` says so; dropped, nothing is known of it.
#[derive(Debug)]
pub struct IncomingReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// Takes what came of it.
    pub answer: oneshot::Sender<ReceiptKept>,
}

/// The receipts of a downstream, as they come. The channel is bounded: while the store takes none, the downstream waits.
pub type Incoming = mpsc::Receiver<IncomingReceipt>;

//! Receipts that come on the connections of a downstream, on their way to the store.
//!
//! Owns what the downstream is told of each. Refuses to know how they came (see `transport`) and which message one closes: the
//! store's script decides that, as it does for those that come by the API.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use crate::domain::receipt::{Receipt, ReceiptOf};
use crate::store::{Queue, Received, Store};
use crate::transport::{Incoming, IncomingReceipt, ReceiptKept};

/// Receipts that are carried out at once.
const AT_ONCE: usize = 32;

/// Carries the receipts of a queue's downstream to the store until no more can come, or until `stop`. One that is not answered by
/// then comes again.
pub async fn carry_receipts(
    store: Store,
    queue: Arc<Queue>,
    mut incoming: Incoming,
    stop: CancellationToken,
) {
    let receipts = stream::poll_fn(|cx| incoming.poll_recv(cx)).take_until(stop.cancelled());
    let carry = async |told: IncomingReceipt| {
        let kept = keep(&store, &queue, &told.receipt).await;
        // Whose connection has ended meanwhile hears nothing, and tells it once more.
        let _told: Result<(), ReceiptKept> = told.answer.send(kept);
    };
    receipts.for_each_concurrent(AT_ONCE, carry).await;
}

async fn keep(store: &Store, queue: &Queue, receipt: &Receipt) -> ReceiptKept {
    if let ReceiptOf::Id(id) = &receipt.of
        && id.queue != queue.policy.name
    {
        return ReceiptKept::Useless;
    }
    match store.messages.receive(queue, receipt).await {
        Ok(Received::Closed(_) | Received::Already(_) | Received::Kept) => ReceiptKept::Yes,
        Ok(Received::Unknown | Received::Contradicts(_)) => ReceiptKept::Useless,
        // That the store is away or full is told where that is noticed.
        Ok(Received::Full) | Err(_) => ReceiptKept::NotNow,
    }
}

//! Receipts that come on the connections of a downstream: what becomes of them, and what the downstream is told.

use std::sync::Arc;

use rustix::process::Signal;
use tidegate::domain::id::MessageId;
use tidegate::domain::receipt::ReceiptSaid::{self, Dead, Delivered};
use tidegate::domain::receipt::{Receipt, ReceiptOf};
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::engine::carry_receipts;
use tidegate::store::Verdict;
use tidegate::transport::{IncomingReceipt, ReceiptKept};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::node::{Node, ended, message};

/// A downstream that tells on its own account.
struct Teller(mpsc::Sender<IncomingReceipt>);

impl Teller {
    /// What it is told of a receipt.
    async fn tell(&self, of: ReceiptOf, said: ReceiptSaid) -> ReceiptKept {
        let (answer, told) = oneshot::channel();
        let receipt = Receipt { of, said, detail: Some("from the network".to_owned()) };
        self.0.send(IncomingReceipt { receipt, answer }).await.expect("somebody listens");
        told.await.expect("it is answered")
    }

    async fn tell_of(&self, reference: &str, said: ReceiptSaid) -> ReceiptKept {
        self.tell(ReceiptOf::Reference(reference.to_owned()), said).await
    }
}

async fn accepted(node: &Node, reference: &str) -> MessageId {
    let id = node.send(message("m")).await;
    let lease = node.take_one().await;
    let accept = Settlement::Accept { reference: Some(reference.to_owned()) };
    assert_eq!(node.settle_as(&[ended(&lease, "accepted", accept)]).await, [Verdict::Ok]);
    id
}

#[tokio::test]
async fn a_receipt_on_a_connection_closes_its_message_and_is_answered() {
    let ground = Ground::single().await;
    let node = ground.node("").await;
    let (sender, incoming) = mpsc::channel(8);
    let (teller, stop) = (Teller(sender), CancellationToken::new());
    let (store, queue) = (node.store.clone(), Arc::clone(&node.queue));
    let carried = carry_receipts(store, queue, incoming, stop.clone());
    let told = async {
        tell_of_two(&ground, &node, &teller).await;
        stop.cancel();
    };
    tokio::join!(carried, told);
    assert!(teller.0.is_closed(), "it ends when it is told to");
}

async fn tell_of_two(ground: &Ground, node: &Node, teller: &Teller) {
    let (first, second) = (accepted(node, "A-1").await, accepted(node, "A-2").await);
    assert_eq!(teller.tell_of("A-1", Delivered).await, ReceiptKept::Yes);
    assert_eq!(node.state(&first).await, State::Delivered);
    assert_eq!(teller.tell_of("A-1", Delivered).await, ReceiptKept::Yes, "it comes again");
    assert_eq!(teller.tell_of("A-1", Dead).await, ReceiptKept::Useless, "it contradicts");
    assert_eq!(node.state(&first).await, State::Delivered);
    assert_eq!(teller.tell_of("A-3", Delivered).await, ReceiptKept::Yes, "it came too early");
    let elsewhere = MessageId { queue: "other".parse().unwrap(), ulid: second.ulid };
    assert_eq!(teller.tell(ReceiptOf::Id(elsewhere), Dead).await, ReceiptKept::Useless);
    assert_eq!(node.state(&second).await, State::Accepted);

    // While the store is away, the downstream is asked to tell it again.
    ground.server().signal(Signal::STOP);
    assert_eq!(teller.tell_of("A-2", Dead).await, ReceiptKept::NotNow);
    ground.server().signal(Signal::CONT);
    while teller.tell_of("A-2", Dead).await == ReceiptKept::NotNow {}
    let closed = node.get(&second).await;
    assert_eq!((closed.state, closed.decided_by.as_deref()), (State::Dead, Some("receipt")));
    assert_eq!(closed.reason.as_deref(), Some("from the network"));
}

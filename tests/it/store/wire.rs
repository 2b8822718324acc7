//! A wire between a store and its server that can lose a reply: the request arrives, the answer does
//! not, and the connection is gone.
//!
//! Owns the passing of bytes and the loss. Refuses to know what they mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::shutdown::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::support::RedisServer;

/// Listens on loopback and passes everything on, until dropped.
pub(super) struct Wire {
    port: u16,
    to_lose: Arc<AtomicUsize>,
    tasks: Tasks,
}

impl Wire {
    pub(super) async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let socket = server.url().trim_start_matches("unix://").to_owned();
        let wire = Self { port, to_lose: Arc::default(), tasks: Tasks::new() };
        let (tasks, to_lose) = (wire.tasks.clone(), Arc::clone(&wire.to_lose));
        wire.tasks.spawn("wire", async move {
            let stop = tasks.stop_token().clone();
            stop.run_until_cancelled(accept(listener, socket, to_lose, tasks)).await;
        });
        wire
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The next reply does not come.
    pub(super) fn lose_a_reply(&self) {
        self.to_lose.store(1, Ordering::SeqCst);
    }

    /// Whether the reply that was to be lost has been.
    pub(super) fn has_lost(&self) -> bool {
        self.to_lose.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn accept(listener: TcpListener, socket: String, to_lose: Arc<AtomicUsize>, tasks: Tasks) {
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&socket).await.expect("the server listens");
        let (to_lose, stop) = (Arc::clone(&to_lose), tasks.stop_token().clone());
        tasks.spawn("connection", async move {
            stop.run_until_cancelled(pass(client, server, to_lose)).await;
        });
    }
}

/// Passes bytes both ways; the end of either, or a lost reply, ends both.
async fn pass(mut client: TcpStream, mut server: UnixStream, to_lose: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(count @ 1..) => server.write_all(&asked[..count]).await,
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(_) if to_lose.swap(0, Ordering::SeqCst) > 0 => return,
                Ok(count @ 1..) => client.write_all(&answered[..count]).await,
                _ => return,
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

//! A wire between two processes that a test can harm: cut, fallen silent, slow, or losing a reply.
//!
//! Owns the passing of bytes and the harm done to them. Listens on loopback; the other end is a port
//! or a Unix socket, and may be away. Refuses to know what the bytes mean.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::shutdown::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::redis::RedisServer;

/// How a wire behaves; shared with every connection on it.
#[derive(Debug, Default)]
struct Harm {
    /// Replies whose connection breaks before they arrive.
    to_lose: AtomicUsize,
    /// Replies of which one half arrives before the connection breaks.
    to_halve: AtomicUsize,
    delay_ms: AtomicU64,
    /// Connections that were ever asked for.
    opened: AtomicUsize,
}

/// Passes everything on, until dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    harm: Arc<Harm>,
    /// Counts the cuts: a change ends every connection.
    cuts: watch::Sender<u64>,
    /// Counts the strandings: a change lets every connection fall silent for good.
    strandings: watch::Sender<u64>,
    is_silent: watch::Sender<bool>,
    tasks: Tasks,
}

#[derive(Debug, Clone)]
enum End {
    Port(u16),
    Socket(PathBuf),
}

impl Wire {
    /// To a server that was started with or without a port.
    pub(crate) async fn to(server: &RedisServer) -> Self {
        let url = server.url();
        match url.strip_prefix("unix://") {
            Some(socket) => Self::between(End::Socket(socket.into())).await,
            None => Self::between(End::Port(server.port())).await,
        }
    }

    async fn between(end: End) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (cuts, strandings) = (watch::Sender::new(0), watch::Sender::new(0));
        let (harm, is_silent) = (Arc::default(), watch::Sender::new(false));
        let wire = Self { port, harm, cuts, strandings, is_silent, tasks: Tasks::new() };
        let (tasks, harm) = (wire.tasks.clone(), Arc::clone(&wire.harm));
        let (cuts, is_silent) = (wire.cuts.clone(), wire.is_silent.clone());
        let strandings = wire.strandings.clone();
        wire.tasks.spawn("wire", async move {
            let stop = tasks.stop_token().clone();
            let accepting = async {
                while let Ok((client, _)) = listener.accept().await {
                    let _at_once = client.set_nodelay(true);
                    harm.opened.fetch_add(1, Ordering::SeqCst);
                    let connection = Connection {
                        harm: Arc::clone(&harm),
                        cut: cuts.subscribe(),
                        stranded: strandings.subscribe(),
                        is_silent: is_silent.subscribe(),
                    };
                    let (stop, end) = (stop.clone(), end.clone());
                    tasks.spawn("connection", async move {
                        stop.run_until_cancelled(connection.run(client, end)).await;
                    });
                }
            };
            stop.run_until_cancelled(accepting).await;
        });
        wire
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The next reply does not come, and its connection breaks.
    pub(crate) fn lose_a_reply(&self) {
        self.harm.to_lose.store(1, Ordering::SeqCst);
    }

    /// Whether the reply that was to be lost has been.
    pub(crate) fn has_lost(&self) -> bool {
        self.harm.to_lose.load(Ordering::SeqCst) == 0
    }

    /// Of the next reply one half comes, and its connection breaks.
    pub(crate) fn halve_a_reply(&self) {
        self.harm.to_halve.store(1, Ordering::SeqCst);
    }

    /// Every connection breaks; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Every connection stays open and nothing passes on it ever again; new ones are welcome.
    pub(crate) fn strand(&self) {
        self.strandings.send_modify(|strandings| *strandings += 1);
    }

    /// How many connections were asked for so far.
    pub(crate) fn opened(&self) -> usize {
        self.harm.opened.load(Ordering::SeqCst)
    }

    /// While silent, connections stay open (and open) and nothing passes in either direction.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// Every reply comes so much later.
    pub(crate) fn set_delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("a short time");
        self.harm.delay_ms.store(ms, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

struct Connection {
    harm: Arc<Harm>,
    cut: watch::Receiver<u64>,
    stranded: watch::Receiver<u64>,
    is_silent: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, client: TcpStream, end: End) {
        // A server that is away refuses, and so does the wire.
        match end {
            End::Port(port) => {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    let _at_once = server.set_nodelay(true);
                    self.pass(client, server).await;
                }
            }
            End::Socket(path) => {
                if let Ok(server) = UnixStream::connect(path).await {
                    self.pass(client, server).await;
                }
            }
        }
    }

    /// Passes bytes both ways; the end of either, a cut or a lost reply ends both.
    async fn pass(
        &mut self,
        mut client: TcpStream,
        mut server: impl AsyncRead + AsyncWrite + Unpin,
    ) {
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            if self.is_silent.wait_for(|is_silent| !is_silent).await.is_err() {
                return;
            }
            let passed = tokio::select! {
                _ = self.cut.changed() => return,
                _ = self.stranded.changed() => {
                    // Open until the wire itself goes.
                    let _cut = self.cut.changed().await;
                    return;
                }
                _ = self.is_silent.changed() => continue,
                read = client.read(&mut asked) => match read {
                    Ok(count @ 1..) => server.write_all(&asked[..count]).await,
                    _ => return,
                },
                read = server.read(&mut answered) => match read {
                    Ok(_) if self.harm.to_lose.swap(0, Ordering::SeqCst) > 0 => return,
                    Ok(count @ 1..) => self.answer(&mut client, &answered[..count]).await,
                    _ => return,
                },
            };
            if passed.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        let ms = self.harm.delay_ms.load(Ordering::SeqCst);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if self.harm.to_halve.swap(0, Ordering::SeqCst) > 0 {
            client.write_all(&bytes[..bytes.len() / 2]).await?;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        client.write_all(bytes).await
    }
}

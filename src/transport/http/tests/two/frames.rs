//! A server of HTTP/2 that does to each connection exactly what a test wrote down, frame by frame.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// `:status: 200`
pub(super) const STATUS_200: &[u8] = &[0x88];
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;

/// The other end of a connection.
pub(super) struct Peer<S> {
    stream: S,
    /// The bodies of requests that have not come to their end.
    bodies: BTreeMap<u32, Vec<u8>>,
}

/// A frame as it came.
#[derive(Debug)]
pub(super) struct CameFrame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Begins as servers do, asking for nothing; nothing when the client has gone.
    pub(super) async fn greet(mut stream: S) -> Option<Self> {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.ok()?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut peer = Self { stream, bodies: BTreeMap::new() };
        peer.send(SETTINGS, 0, 0, &[]).await?;
        Some(peer)
    }

    pub(super) async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> Option<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.stream.write_all(&bytes).await.ok()
    }

    pub(super) async fn reset(&mut self, stream: u32, code: u32) -> Option<()> {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await
    }

    pub(super) async fn go_away(&mut self, last_stream: u32, code: u32) -> Option<()> {
        let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await
    }

    /// Answers 200 without a body.
    pub(super) async fn answer(&mut self, stream: u32) -> Option<()> {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await
    }

    /// The next frame; nothing when the client has gone.
    pub(super) async fn frame(&mut self) -> Option<CameFrame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, d, e, f, g] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([d, e, f, g]);
        if kind == SETTINGS && flags == 0 {
            self.send(SETTINGS, 1, 0, &[]).await?;
        }
        Some(CameFrame { kind, flags, stream, payload })
    }

    /// The next request that has come to its end, and its body.
    pub(super) async fn request(&mut self) -> Option<(u32, String)> {
        loop {
            let frame = self.frame().await?;
            if !matches!(frame.kind, HEADERS | DATA) {
                continue;
            }
            let body = self.bodies.entry(frame.stream).or_default();
            if frame.kind == DATA {
                body.extend(&frame.payload);
            }
            if frame.flags & END_STREAM != 0 {
                let body = self.bodies.remove(&frame.stream).unwrap_or_default();
                return Some((frame.stream, String::from_utf8(body).unwrap()));
            }
        }
    }

    /// Reads until the client closes.
    pub(super) async fn read_to_close(&mut self) {
        while self.frame().await.is_some() {}
    }

    /// Closes for writing.
    pub(super) async fn close(&mut self) {
        drop(self.stream.shutdown().await);
    }
}

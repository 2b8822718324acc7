//! How slow this machine is, while a run is under way.
//!
//! Owns a client of the recorder that asks for next to nothing, again and again, and notes how long it
//! took: as long as a daemon's call may have been under way before the recorder had read it. Refuses
//! to know who makes the machine slow.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::history::Lag;
use super::recorder::PING;
use crate::support::clocks::wall_us;

const EVERY: Duration = Duration::from_millis(10);
/// What is not worth a note.
const QUICK_US: u64 = 2000;

/// Asks until it is dropped; what it noted lies in `lags`.
pub(crate) async fn ask(port: u16, lags: &mut Vec<Lag>) {
    loop {
        let from_us = wall_us();
        tokio::time::sleep(EVERY).await;
        let asked = exchange(port).await;
        let at_us = wall_us();
        // A thread that was not woken in time counts too.
        let took_us = at_us.saturating_sub(from_us + 10_000);
        if asked.is_ok() && took_us > QUICK_US {
            lags.push(Lag { at_us, took_us });
        }
    }
}

/// On a connection of its own, as a daemon's first calls are.
async fn exchange(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {PING} HTTP/1.1\r\n\r\n").as_bytes()).await?;
    stream.read_u8().await.map(drop)
}

//! Free loopback ports.
//!
//! Owns the choice; refuses to know who listens there.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which systems take the ports of outgoing connections (from 32768 on
/// Linux, 49152 elsewhere): a port found free here is not taken by somebody's client a moment later.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port nobody listens on, never given twice by this process.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run side by side start at places far apart.
    let start = u16::try_from(std::process::id() % 199).expect("below 199") * 100;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT);
}

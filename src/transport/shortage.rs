//! What this machine lacks: errors that say nothing about the other side.
//!
//! Owns which errors these are. Refuses to know what follows from them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rustix::io::Errno;

/// Whether a connection failed because this machine is short of something.
pub(super) fn is_met(error: &io::Error) -> bool {
    is_said(error) || (is_no_address(error) && are_ports_used_up())
}

/// Whether the system says that it is short of open files, memory or buffers.
pub(super) fn is_said(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| SHORTAGES.contains(&errno))
}

fn is_no_address(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

/// The same errors say that an address of the downstream cannot be reached from here at all, such as
/// `::1` where IPv6 is off; only where no local port is to be had is it a shortage.
fn are_ports_used_up() -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_of_this_machine_are_told_from_faults_of_the_other_side() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_met(&errno.into()), "{errno:?}");
        }
        // There are free ports here: it is the address that is not available.
        for errno in [Errno::ADDRNOTAVAIL, Errno::CONNREFUSED, Errno::NETUNREACH] {
            assert!(!is_met(&errno.into()), "{errno:?}");
        }
    }
}

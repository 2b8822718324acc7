//! The check of the addresses that a connection is made to, where a message names the host.
//!
//! Owns that the address which was checked is the one that is connected to: it stands between the look-up of a name and the
//! connection, so that a name which answers differently the next time gains nothing. Which addresses are public says
//! `domain::egress`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::domain::egress::{EgressAllow, NotPublic, check};

/// What may be reached.
#[derive(Debug, Clone)]
pub(super) struct EgressGuard {
    allowed: Arc<EgressAllow>,
}

/// A name of which no address may be reached, or an address that may not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host} may not be called: {why}")]
pub(super) struct AddressRefused {
    host: String,
    why: NotPublic,
}

impl EgressGuard {
    pub(super) const fn new(allowed: Arc<EgressAllow>) -> Self {
        Self { allowed }
    }

    /// Those of these addresses that may be reached.
    ///
    /// # Errors
    /// None of them may.
    pub(super) fn passing(
        &self,
        host: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, AddressRefused> {
        let mut refused = None;
        let mut passing = addresses;
        passing.retain(|address| match check(address.ip(), &self.allowed, is_own) {
            Ok(()) => true,
            Err(why) => {
                refused.get_or_insert(why);
                false
            }
        });
        match refused {
            Some(why) if passing.is_empty() => Err(AddressRefused { host: host.to_owned(), why }),
            _ => Ok(passing),
        }
    }

    /// Whether a literal address may be reached: no look-up stands before its connection.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn literal(&self, host: &str) -> Result<(), AddressRefused> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(address) = bare.parse::<IpAddr>() else { return Ok(()) };
        check(address, &self.allowed, is_own)
            .map_err(|why| AddressRefused { host: host.to_owned(), why })
    }
}

/// Whether an address is one of this machine's interfaces. Whether a socket can be bound to it says nothing where
/// `net.ipv4.ip_nonlocal_bind` is set. Interfaces cannot be listed only where this process may open nothing more: then no connection
/// is made either.
fn is_own(address: IpAddr) -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().any(|interface| interface.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> EgressGuard {
        let networks: Vec<_> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        EgressGuard::new(Arc::new(networks.into()))
    }

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 80)
    }

    #[test]
    fn of_several_addresses_the_public_ones_are_left() {
        let found = guard(&[]).passing("h", vec![at("10.0.0.1"), at("1.1.1.1"), at("::1")]);
        assert_eq!(found.unwrap(), [at("1.1.1.1")]);
        let why = guard(&[]).passing("h", vec![at("10.0.0.1")]).unwrap_err().to_string();
        assert!(why.starts_with("h may not be called: the address 10.0.0.1 is a private"), "{why}");
        assert_eq!(guard(&["10.0.0.0/8"]).passing("h", vec![at("10.0.0.1")]).unwrap().len(), 1);
        assert!(guard(&[]).passing("h", Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn literal_addresses_are_checked_too() {
        for bad in ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254"] {
            assert!(guard(&[]).literal(bad).is_err(), "{bad}");
        }
        for good in ["1.1.1.1", "shop.example", "[2606:4700:4700::1111]"] {
            assert!(guard(&[]).literal(good).is_ok(), "{good}");
        }
    }
}

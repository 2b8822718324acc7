//! Networks that may be called all the same, as they are written: `10.1.0.0/16`.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

/// A network, by its first address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It cannot be read.
    #[error(
        "\"{0}\" is not a valid network; expected for example \"10.1.0.0/16\", \"fd00::/8\" or a single address"
    )]
    Unreadable(String),
    /// It has bits beyond its prefix, so that something else may be meant.
    #[error("\"{written}\" names an address inside of a network; expected \"{meant}\"")]
    HostBits {
        /// As it was written.
        written: String,
        /// The network that it lies in.
        meant: Network,
    },
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork::Unreadable(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits = bits_of(address);
        let is_plain = |prefix: &&str| {
            prefix.bytes().all(|byte| byte.is_ascii_digit())
                && (*prefix == "0" || !prefix.starts_with('0'))
        };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => Some(prefix)
                .filter(is_plain)
                .and_then(|it| it.parse().ok())
                .filter(|it| *it <= bits)
                .ok_or_else(bad)?,
        };
        let meant = Self { address: first(address, prefix), prefix };
        if meant.address != address {
            return Err(BadNetwork::HostBits { written: text.to_owned(), meant });
        }
        Ok(meant)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// Whether an address lies in it. Those of the other version never do.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.prefix) == self.address
    }
}

const fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first address of the network with this prefix.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// The networks that may be called although they are not public (`server.egress_allow`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressAllow(Vec<Network>);

impl From<Vec<Network>> for EgressAllow {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

impl EgressAllow {
    /// Whether an address lies in one of them.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.covers(address))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

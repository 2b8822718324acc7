//! Which addresses a call may go to whose url did not come from the configuration file.
//!
//! A url that somebody else gives could name this machine, its neighbours, or the metadata service of a cloud: what is no public
//! address is refused, in whatever form it is written. Owns the ranges and their words. Pure; refuses to know who resolves names.

mod networks;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

pub use self::networks::{BadNetwork, EgressAllow, Network};

/// Why an address may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address {address} is {kind}, which messages may not name; server.egress_allow or an exact entry in downstream.hosts would allow it"
)]
pub struct NotPublic {
    /// The address, as it would be connected to.
    pub address: IpAddr,
    /// What it is.
    pub kind: AddressKind,
}

/// What an address is that is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// This machine, by its loopback.
    Loopback,
    /// An address of this machine.
    Own,
    /// A private network (RFC 1918, RFC 4193).
    Private,
    /// One link alone (RFC 3927, RFC 4291): clouds answer here with credentials.
    LinkLocal,
    /// The network of a provider behind its address translation (RFC 6598).
    SharedByProvider,
    /// Many receivers at once.
    Multicast,
    /// For documentation, benchmarks, or nothing yet (RFC 6890).
    Reserved,
    /// Another address in its bits: mapped, translated or tunnelled IPv4.
    Translated,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Own => "an address of this machine",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::SharedByProvider => "an address behind the translation of a provider",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Translated => "an IPv6 form of an IPv4 address",
        })
    }
}

/// Checks one address, literal or resolved. `is_own` says whether it is one of this machine.
///
/// # Errors
/// What it is, where it is not public and not allowed.
pub fn check(
    address: IpAddr,
    allowed: &EgressAllow,
    is_own: impl FnOnce(IpAddr) -> bool,
) -> Result<(), NotPublic> {
    let plain = address.to_canonical();
    if allowed.covers(address) || (plain != address && allowed.covers(plain)) {
        return Ok(());
    }
    let kind = match address {
        IpAddr::V4(v4) => kind_of_v4(v4),
        IpAddr::V6(v6) => kind_of_v6(v6),
    };
    let kind = kind.or_else(|| is_own(plain).then_some(AddressKind::Own));
    kind.map_or(Ok(()), |kind| Err(NotPublic { address, kind }))
}

/// The special ranges of IPv4 (IANA, "IPv4 Special-Purpose Address Registry").
fn kind_of_v4(address: Ipv4Addr) -> Option<AddressKind> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (127, ..) => AddressKind::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => AddressKind::Private,
        (169, 254, _) => AddressKind::LinkLocal,
        (100, 64..=127, _) => AddressKind::SharedByProvider,
        (224..=239, ..) => AddressKind::Multicast,
        (0 | 240..=255, ..)
        | (192, 0, 0 | 2)
        | (192, 31, 196)
        | (192, 52, 193)
        | (192, 88, 99)
        | (192, 175, 48)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => AddressKind::Reserved,
        _ => return None,
    })
}

/// The special ranges of IPv6 (IANA, "IPv6 Special-Purpose Address Registry"). Public are addresses in `2000::/3` alone.
fn kind_of_v6(address: Ipv6Addr) -> Option<AddressKind> {
    let bits = address.segments();
    Some(match bits {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::Reserved,
        // IPv4 as such, mapped, "SIIT" and the translations of RFC 6052 and RFC 8215.
        [0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] => AddressKind::Translated,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressKind::Private,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        // 6to4 (RFC 3056) and Teredo (RFC 4380).
        [0x2002, ..] | [0x2001, 0, ..] => AddressKind::Translated,
        // The rest of 2001::/23, documentation (RFC 3849, RFC 9637) and the direct delegation of AS112.
        [0x2001, 0x1..=0x1ff | 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0x2620, 0x4f, 0x8000, ..] => AddressKind::Reserved,
        // ISATAP (RFC 5214): the last half names an IPv4 address.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => AddressKind::Translated,
        [0x2000..=0x3fff, ..] => return None,
        _ => AddressKind::Reserved,
    })
}

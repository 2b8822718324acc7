//! The optional fields of a record and of a state entry, and those that are written now: the cost, the key table, the
//! collapse key and the zone.
//!
//! ```text
//! presence u8 | length u16 | the fields that are there, in the order of their bits
//! ```
//!
//! | bit | field | |
//! |---|---|---|
//! | 1 | cost | u16; absent: 1 (`record_cost` in `lua/include/record.lua` reads it) |
//! | 2 | key table | count u8, then for each key: hash of its name, 2 bytes, and of its value, 8 bytes |
//! | 4 | collapse key | hash of the key, 16 bytes, and what `lua/include/collapse/record.lua` keeps: how it is due u8, how many payloads the present one has taken the place of u32, when that one was accepted u48 |
//! | 8 | zone | where its recipient is: hash of the name of the time zone, 4 bytes; 0: it ignores its recipient's hours (`claim_hours.lua` reads it) |
//! | 16, 32 | via, waits | reserved |
//! | 128 | a further presence byte, behind the fields of this one | reserved |
//!
//! To add a field, take the next bit and write the field behind those before it: a program that does not know the
//! bit finds all fields that it knows, and every rewrite carries the whole section along as it is. The hashes are
//! fixed for ever, since they stand in what is stored: they are the first bytes of SHA-256. Refuses to know what a
//! field is used for.

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use super::{RECORD_VERSION, cut};
use crate::domain::keys::MessageKey;
use crate::domain::limit::Cost;
use crate::domain::message::{Details, LABELS_MAX};
use crate::store::StoreError;

const COST: u8 = 1;
const KEY_TABLE: u8 = 2;
const COLLAPSE_KEY: u8 = 4;
const ZONE: u8 = 8;
/// A collapse key is told apart by so much of its hash: two keys with one hash would replace each other's messages.
pub(in crate::store) const COLLAPSE_HASH_BYTES: usize = 16;
/// All that is kept of a collapse key: see the table.
pub(in crate::store) const COLLAPSE_BYTES: usize = COLLAPSE_HASH_BYTES + 1 + 4 + 6;
/// Presence and length.
const HEAD_BYTES: usize = 3;
const COST_BYTES: usize = 2;
const NAME_BYTES: usize = 2;
const VALUE_BYTES: usize = 8;
/// The group's place in the table: it has no name, and no name of a label has this hash.
const GROUP: [u8; NAME_BYTES] = [0, 0];
/// The place of the host that a message goes to, which no label has either.
const HOST: [u8; NAME_BYTES] = [0, 2];
/// What stands for a label whose name has the hash of the group or of the host.
const LABEL_LIKE_THEM: [u8; NAME_BYTES] = [0, 1];

const _: () = assert!(LABELS_MAX + 1 < u8::MAX as usize, "the keys are counted in one byte");

/// The optional fields as they are stored, with what says which they are; empty: there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OptionalFields(Bytes);

impl OptionalFields {
    /// Those of a new record. What stands here stands in the details too; here scripts find it.
    fn of_new(details: &Details) -> Self {
        let cost = Some(details.cost).filter(|cost| *cost != Cost::default());
        let group = details.group.as_deref().map(|group| (GROUP, group));
        let labels = details.labels.iter().map(|(name, value)| (name_hash(name), value.as_str()));
        let host = details.target.as_ref().map(|target| (HOST, target.host()));
        let keys: Vec<_> = group.into_iter().chain(host).chain(labels).collect();
        let (mut presence, mut length) = (0, 0);
        if cost.is_some() {
            (presence, length) = (COST, COST_BYTES);
        }
        if !keys.is_empty() {
            presence += KEY_TABLE;
            length += 1 + keys.len() * (NAME_BYTES + VALUE_BYTES);
        }
        if details.collapse_key.is_some() {
            presence += COLLAPSE_KEY;
            length += COLLAPSE_BYTES;
        }
        let zone = details.time_zone.as_ref().map(|zone| zone_hash(zone.name()));
        let zone = if details.ignores_recipient_hours { Some(0) } else { zone };
        if zone.is_some() {
            presence += ZONE;
            length += size_of::<u32>();
        }
        if presence == 0 {
            return Self::default();
        }
        let mut packed = Vec::with_capacity(HEAD_BYTES + length);
        packed.push(presence);
        packed.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        packed.extend(cost.iter().flat_map(|cost| cost.units().to_be_bytes()));
        if !keys.is_empty() {
            packed.push(u8::try_from(keys.len()).unwrap_or(u8::MAX));
        }
        for (name, value) in keys {
            packed.extend(name);
            packed.extend(hash::<VALUE_BYTES>(value));
        }
        if let Some(key) = &details.collapse_key {
            packed.extend(hash::<COLLAPSE_HASH_BYTES>(key));
            packed.extend([0; COLLAPSE_BYTES - COLLAPSE_HASH_BYTES]);
        }
        packed.extend(zone.iter().flat_map(|zone| zone.to_be_bytes()));
        Self(packed.into())
    }

    /// The field of the collapse key; `None`: there is none.
    fn collapse_field(&self) -> Option<&[u8]> {
        let presence = *self.0.first()?;
        if presence & COLLAPSE_KEY == 0 {
            return None;
        }
        let mut at = HEAD_BYTES + if presence & COST == 0 { 0 } else { COST_BYTES };
        if presence & KEY_TABLE != 0 {
            at += 1 + usize::from(*self.0.get(at)?) * (NAME_BYTES + VALUE_BYTES);
        }
        self.0.get(at..at + COLLAPSE_BYTES)
    }

    /// Whether there is a collapse key among them.
    pub(crate) fn has_collapse_key(&self) -> bool {
        self.collapse_field().is_some()
    }

    /// How many payloads the present one has taken the place of.
    pub(crate) fn superseded(&self) -> u32 {
        let count =
            self.collapse_field().and_then(|field| field[COLLAPSE_HASH_BYTES + 1..].first_chunk());
        count.map_or(0, |count| u32::from_be_bytes(*count))
    }

    /// These, where a message brings them along from another record; else those of its details, where records are
    /// written as `version`.
    pub(crate) fn or_of_new(self, version: u8, details: &Details) -> Self {
        if self.is_empty() && version >= RECORD_VERSION { Self::of_new(details) } else { self }
    }

    /// Takes them off the front of what follows a header.
    pub(super) fn split_off(raw: &mut Bytes) -> Result<Self, StoreError> {
        if raw.len() < HEAD_BYTES {
            return Err(cut("optional fields"));
        }
        let mut head = raw.slice(1..HEAD_BYTES);
        let bytes = HEAD_BYTES + usize::from(head.get_u16());
        if raw.len() < bytes {
            return Err(cut("optional fields"));
        }
        Ok(Self(raw.split_to(bytes)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How a key table names a key.
pub(in crate::store) fn key_name_hash(key: &MessageKey) -> [u8; NAME_BYTES] {
    match key {
        MessageKey::Group => GROUP,
        MessageKey::Host => HOST,
        MessageKey::Label(name) => name_hash(name),
    }
}

/// How a key table has the value of a key.
pub(in crate::store) fn key_value_hash(value: &str) -> [u8; VALUE_BYTES] {
    hash(value)
}

/// How a record names a time zone. 0 means that a message goes by none.
pub(in crate::store) fn zone_hash(name: &str) -> u32 {
    u32::from_be_bytes(hash(name)).max(1)
}

/// How a key table names a label.
fn name_hash(name: &str) -> [u8; NAME_BYTES] {
    match hash(name) {
        GROUP | HOST => LABEL_LIKE_THEM,
        hash => hash,
    }
}

fn hash<const BYTES: usize>(text: &str) -> [u8; BYTES] {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; BYTES];
    first.copy_from_slice(&digest[..BYTES]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(group: Option<&str>, labels: &[(&str, &str)]) -> Details {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Details { group: group.map(str::to_owned), labels: labels.collect(), ..Details::default() }
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// What is stored under these hashes has to be found by every later version.
    #[test]
    fn the_hashes_never_change() {
        let table =
            OptionalFields::of_new(&details(Some("order-42"), &[("shop", "eu"), ("to", "")]));
        let expected =
            "02 001f 03  0000 3bf8b157c4238eef  8d90 4d0282941aaf2d69  663e e3b0c44298fc1c14";
        assert_eq!(hex(table.as_bytes()), expected.replace(' ', ""));
    }

    /// Scripts read it where it stands.
    #[test]
    fn the_cost_is_the_first_field() {
        let cost = Cost::new(300).unwrap();
        let alone = OptionalFields::of_new(&Details { cost, ..Details::default() });
        assert_eq!(hex(alone.as_bytes()), "010002012c");
        let keyed = OptionalFields::of_new(&Details { cost, ..details(Some("order-42"), &[]) });
        let expected = "03 000d 012c 01 0000 3bf8b157c4238eef";
        assert_eq!(hex(keyed.as_bytes()), expected.replace(' ', ""));
    }

    /// It is the last field, and costs a message without one nothing.
    #[test]
    fn the_zone_stands_behind_the_others() {
        let zone = Some("Asia/Shanghai".parse().unwrap());
        let alone =
            OptionalFields::of_new(&Details { time_zone: zone.clone(), ..Details::default() });
        assert_eq!(hex(alone.as_bytes()), format!("080004{:08x}", zone_hash("Asia/Shanghai")));
        let ignoring = Details {
            time_zone: zone,
            ignores_recipient_hours: true,
            cost: Cost::new(300).unwrap(),
            ..Details::default()
        };
        assert_eq!(hex(OptionalFields::of_new(&ignoring).as_bytes()), "090006012c00000000");
    }

    #[test]
    fn no_label_stands_where_the_group_does() {
        let names = (0_u32..).map(|n| n.to_string());
        let name = names.into_iter().find(|name| hash(name) == GROUP).unwrap();
        assert_eq!(name_hash(&name), LABEL_LIKE_THEM);
    }

    #[test]
    fn a_message_without_keys_and_one_of_the_version_before_have_no_fields() {
        let plain = OptionalFields::default();
        assert_eq!(plain.clone().or_of_new(RECORD_VERSION, &Details::default()), plain);
        let keyed = details(Some("g"), &[]);
        assert_eq!(plain.clone().or_of_new(RECORD_VERSION - 1, &keyed), plain);
        let brought = OptionalFields(Bytes::from_static(&[64, 0, 1, 7]));
        assert_eq!(brought.clone().or_of_new(RECORD_VERSION, &keyed), brought, "carried along");
        assert_eq!(brought.clone().or_of_new(RECORD_VERSION - 1, &keyed), brought);
    }

    #[test]
    fn what_is_cut_is_an_error_and_what_follows_stays() {
        let whole = Bytes::from_static(&[64, 0, 2, 7, 8, 9]);
        for length in 0..5 {
            let mut raw = whole.slice(..length);
            assert!(OptionalFields::split_off(&mut raw).is_err(), "{length}");
        }
        let mut raw = whole.clone();
        let fields = OptionalFields::split_off(&mut raw).unwrap();
        assert_eq!((fields.as_bytes(), &raw[..]), (&whole[..5], &[9_u8][..]));
    }
}

//! How the time zones of recipients stand now, as the claim script takes it.
//!
//! Owns the table and how long it holds. When a zone is open is the matter of `domain::recipient_hours`; the script that reads the
//! table is `lua/include/claim_hours.lua`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;

use crate::domain::recipient_hours::{Reach, RecipientHours};
use crate::domain::zone::NamedZone;
use crate::store::record::zone_hash;

/// A moment as it stands in a record.
const MOMENT_BYTES: usize = 6;
const MOMENT_MAX_MS: u64 = (1 << 48) - 1;

/// Every zone that this machine knows.
static ZONES: LazyLock<Vec<NamedZone>> = LazyLock::new(|| {
    let names = jiff::tz::db().available();
    names.filter_map(|name| name.as_str().parse().ok()).collect()
});

/// The table of a queue, for as long as it holds.
#[derive(Debug, Default)]
pub(in crate::store) struct Zones {
    // A plain mutex: held to read and to write, never across an await.
    known: Mutex<Option<ZoneTable>>,
}

/// A table, and from when until when it holds.
#[derive(Debug, Clone)]
struct ZoneTable {
    from_ms: u64,
    until_ms: u64,
    packed: Bytes,
}

impl Zones {
    /// The table at `now_ms`: 12 bytes for messages that name no zone, all of them 0 where these go by no hours, then for each zone,
    /// ascending, the hash of its name, 4 bytes, and the same 12 bytes: until when it is open, 0 where it is not, and when it opens next.
    pub(in crate::store) fn at(&self, hours: &RecipientHours, now_ms: u64) -> Bytes {
        let mut known = self.known.lock();
        let holds = |known: &&ZoneTable| (known.from_ms..known.until_ms).contains(&now_ms);
        if let Some(known) = known.as_ref().filter(holds) {
            return known.packed.clone();
        }
        let fresh = table(hours, now_ms);
        let packed = fresh.packed.clone();
        *known = Some(fresh);
        packed
    }
}

fn table(hours: &RecipientHours, now_ms: u64) -> ZoneTable {
    let reaches: BTreeMap<u32, Reach> =
        ZONES.iter().map(|zone| (zone_hash(zone.name()), hours.reach(zone, now_ms))).collect();
    let edge_ms = |reach: &Reach| reach.open_until_ms.unwrap_or(reach.next_open_ms);
    let until_ms = reaches.values().map(edge_ms).min().unwrap_or(now_ms);
    let mut packed = BytesMut::with_capacity((reaches.len() + 1) * (4 + 2 * MOMENT_BYTES));
    match hours.fallback() {
        Some(zone) => put(&mut packed, &hours.reach(zone, now_ms)),
        None => packed.put_bytes(0, 2 * MOMENT_BYTES),
    }
    for (hash, reach) in &reaches {
        packed.put_u32(*hash);
        put(&mut packed, reach);
    }
    ZoneTable { from_ms: now_ms, until_ms, packed: packed.freeze() }
}

fn put(packed: &mut BytesMut, reach: &Reach) {
    for moment_ms in [reach.open_until_ms.unwrap_or(0), reach.next_open_ms] {
        packed.put_uint(moment_ms.min(MOMENT_MAX_MS), MOMENT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;
    use crate::domain::window::{Hours, OpeningRule};

    #[test]
    fn the_table_names_every_zone_and_holds_until_one_of_them_changes() {
        let open = Hours::new("08:00".parse().unwrap(), "21:00".parse().unwrap()).unwrap();
        let rules = vec![OpeningRule::new("mon-sun".parse().unwrap(), open)];
        let hours = RecipientHours::new(rules, None).unwrap();
        let now_ms = parse_rfc3339("2026-11-20T02:00:00Z").unwrap();
        let ZoneTable { packed, until_ms, .. } = table(&hours, now_ms);
        assert_eq!(packed.len() % 16, 12);
        assert!(
            packed.len() > 300 * 16,
            "{} bytes: is the time zone database there?",
            packed.len()
        );
        assert_eq!(packed[..12], [0; 12], "messages without a zone go by no hours");
        let hash = zone_hash("Asia/Shanghai").to_be_bytes();
        let row = packed[12..].chunks(16).find(|row| row[..4] == hash).unwrap();
        let moment = |bytes: &[u8]| bytes.iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
        let [until, next] = ["2026-11-20T13:00:00Z", "2026-11-21T00:00:00Z"];
        assert_eq!(moment(&row[4..10]), parse_rfc3339(until).unwrap());
        assert_eq!(moment(&row[10..]), parse_rfc3339(next).unwrap());
        assert!(until_ms > now_ms && until_ms <= now_ms + 3_600_000);
        let hashes: Vec<_> = packed[12..].chunks(16).map(|row| &row[..4]).collect();
        assert!(hashes.windows(2).all(|two| two[0] < two[1]), "the script halves it");
    }
}

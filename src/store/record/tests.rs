//! Records and state entries of both versions. That the scripts agree is shown on a real Redis, see
//! `tests/it/store/records.rs` and `formats.rs`.

use super::*;

/// A field that no version knows yet: its bit, its length, itself.
const UNKNOWN: [u8; 5] = [64, 0, 2, 7, 7];

fn record(version: u8, flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut raw = vec![version, flags, 2 * 16 + 5];
    raw.extend([0, 0, 0, 0, 0, 9]);
    raw.extend([0, 0, 0, 0, 0, 11]);
    raw.extend([0, 0, 0, 0, 0, 1, 0]);
    raw.extend(fields);
    raw.extend([0, 9]);
    raw.extend(br#"{"g":"a"}"#);
    raw.extend(b"body");
    raw
}

fn unpack(raw: Vec<u8>) -> Result<Record, StoreError> {
    Record::unpack(Bytes::from(raw))
}

#[test]
fn records_of_both_versions_read_alike() {
    for (version, flags, fields) in
        [(2, 0, &[][..]), (3, 0, &[][..]), (3, 4, &UNKNOWN[..]), (3, 4 + 2 + 16, &UNKNOWN[..])]
    {
        let read = unpack(record(version, flags, fields)).unwrap();
        assert_eq!((read.priority, read.due_ms, read.expires_ms), (5, 9, 11));
        assert_eq!(read.details.group.as_deref(), Some("a"));
        assert_eq!(read.payload, Some(Bytes::from_static(b"body")));
        assert_eq!((read.is_edited, read.callback.is_none()), (flags & 2 != 0, flags < 16));
        assert_eq!(read.fields.as_bytes(), fields);
    }
    // The version before had no such flag.
    assert_eq!(unpack(record(2, 4, &[])).unwrap().fields, OptionalFields::default());
}

#[test]
fn a_record_that_is_cut_or_of_another_version_is_an_error() {
    for version in [0, 1, 4, 255] {
        let error = unpack(record(version, 0, &[])).unwrap_err().to_string();
        assert!(error.contains(&format!("record version {version} is not known")), "{error}");
    }
    let whole = record(3, 4, &UNKNOWN);
    for length in 0..whole.len() - 4 {
        assert!(unpack(whole[..length].to_vec()).is_err(), "{length}");
    }
}

fn state(version: u8, band: u8, fields: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut raw = vec![version, b'L'];
    raw.extend([b'T'; 20]);
    raw.extend([16, band, 0, 3]);
    raw.extend([0, 0, 0, 0, 0, 9]);
    raw.extend([0, 0, 0, 0, 0, 11]);
    raw.extend([0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 7]);
    raw.extend([0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 13]);
    raw.extend([b' '; 20]);
    raw.extend([0, 0, 0, 0, 0, 14]);
    raw.extend(fields);
    raw.extend(tail);
    raw
}

#[test]
fn state_entries_of_both_versions_read_alike() {
    for (version, band, fields) in [(2, 3, &[][..]), (3, 3, &[][..]), (3, 128 + 3, &UNKNOWN[..])] {
        for (tail, is_in_doubt) in [("", false), (r#"{"u":true}"#, true)] {
            let raw = state(version, band, fields, tail.as_bytes());
            let read = StateEntry::unpack(Bytes::from(raw)).unwrap();
            assert_eq!((read.letter, read.due_ms, read.expires_ms), (b'L', 9, 11));
            let counts = [read.attempts, read.throttles, read.window_holds, read.rescues];
            assert_eq!(counts, [4, 5, 6, 7]);
            let moments = [read.first_attempt_ms, read.paused_at_first_ms, read.final_ms];
            assert_eq!(moments, [12, 13, 14]);
            assert_eq!(read.tail.in_doubt, is_in_doubt);
        }
    }
    assert!(StateEntry::unpack(Bytes::from(state(4, 3, &[], b""))).is_err());
    assert!(StateEntry::unpack(Bytes::from(state(3, 131, &UNKNOWN[..4], b""))).is_err());
}

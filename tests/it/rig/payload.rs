//! The payloads of a run: each says its key, and is awkward in its own way.
//!
//! Owns their making and the finding of the key. They are text that a careless hand would write
//! differently: escapes, odd spaces, numbers in odd shapes. Refuses to know queues.

use rand::Rng;
use rand::rngs::StdRng;

const FILLS: [&str; 6] = [
    "\"plain\"",
    "  \"spaced\" ",
    "\"\\u00e9\\/ \\n é 漢\"",
    "1.0e5",
    "{\"b\":1 , \"a\":[ ]}",
    "[null,-0.0, 1E+2]",
];

/// The bytes of a JSON payload with this key.
pub(super) fn json(random: &mut StdRng, key: u64) -> String {
    let fill = FILLS[random.random_range(0..FILLS.len())];
    let pad = "x".repeat(random.random_range(0..200));
    format!("{{\"key\":{key},\"fill\":{fill},\"pad\":\"{pad}\"}}")
}

/// The key of a payload that is one of ours.
pub(super) fn key_in(body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(b"{\"key\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

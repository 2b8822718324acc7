//! Certificates of the configuration whose time is over, or has not come.
//!
//! Owns the reading of a certificate's validity. A configuration with such a certificate is still a valid one: the daemon
//! starts with it, as every other queue can go on, and says so.

use jiff::civil;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::load::Problem;
use super::settings::Settings;
use crate::domain::access::{PemFile, TlsPolicy};
use crate::domain::policy::{Downstream, QueuePolicy};
use crate::domain::time::rfc3339;

/// The certificates that are not valid at this moment, each with its setting and the remedy.
#[must_use]
pub fn certificates_out_of_date(settings: &Settings, now_ms: u64) -> Vec<Problem> {
    settings.queues.values().flat_map(|policy| of_queue(policy, now_ms)).collect()
}

fn of_queue(policy: &QueuePolicy, now_ms: u64) -> Vec<Problem> {
    let Downstream::Http(http) = &policy.downstream else { return Vec::new() };
    let Some(TlsPolicy { ca, certificate, .. }) = &http.access.tls else { return Vec::new() };
    let files = [("certificate", certificate, false), ("ca", ca, true)];
    let fault = |(key, file, is_any_enough): (&str, &Option<PemFile>, bool)| {
        let message = fault_of(file.as_ref()?, is_any_enough, now_ms)?;
        let key = format!("queues.{}.downstream.tls.{key}", policy.name);
        let origin = policy.origins.of(&key).map(ToOwned::to_owned).unwrap_or_default();
        Some(Problem { origin, key, message })
    };
    files.into_iter().filter_map(fault).collect()
}

/// What is wrong with the dates of a file's certificates. Of authorities one that is valid is enough: lists of them keep
/// old ones for long. Of a client's own the first one counts.
fn fault_of(file: &PemFile, is_any_enough: bool, now_ms: u64) -> Option<String> {
    let certificates = CertificateDer::pem_slice_iter(file.text.expose().as_bytes());
    let mut spans = certificates.flatten().filter_map(|it| validity_ms(&it));
    let first = spans.next()?;
    let is_valid = |(from_ms, to_ms): (u64, u64)| from_ms <= now_ms && now_ms <= to_ms;
    if is_valid(first) || (is_any_enough && spans.any(is_valid)) {
        return None;
    }
    let (from_ms, to_ms) = first;
    let path = &file.path;
    Some(if now_ms < from_ms {
        let from = rfc3339(from_ms);
        format!(
            "the certificate in the file {path} is valid only from {from} on; check the clock of this machine, or wait"
        )
    } else {
        let to = rfc3339(to_ms);
        format!(
            "the certificate in the file {path} expired at {to}; put a new one into the file, then reload (SIGHUP)"
        )
    })
}

/// From when and until when a certificate is valid. `None`: that cannot be read.
fn validity_ms(certificate: &[u8]) -> Option<(u64, u64)> {
    // Certificate { TBSCertificate { [0] version, serialNumber, signature, issuer, Validity { notBefore, notAfter } ... } }
    let mut certificate = Der(Der(certificate).enter(SEQUENCE)?);
    let mut body = Der(certificate.enter(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.next()?;
    }
    for _serial_signature_issuer in 0..3 {
        body.next()?;
    }
    let mut validity = Der(body.enter(SEQUENCE)?);
    Some((moment_ms(validity.next()?)?, moment_ms(validity.next()?)?))
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Values in DER that stand one behind another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag, and what stands in it.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// What stands in the next value, which must have this tag.
    fn enter(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment_ms((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let (year, rest) = match tag {
        UTC_TIME => match number(0, 2)? {
            late @ 0..50 => (2000 + late, 2),
            early => (1900 + early, 2),
        },
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let date = civil::Date::new(year, small(rest)?, small(rest + 2)?).ok()?;
    let time = civil::Time::new(small(rest + 4)?, small(rest + 6)?, small(rest + 8)?, 0).ok()?;
    let at = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::load_with;

    const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");

    fn of(text: &str) -> Vec<String> {
        let text = format!("[queues.q.downstream]\nurl = \"https://h\"\ntls = {text}");
        let settings = load_with(&text, &[], &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let at_2000 = certificates_out_of_date(&settings, 946_684_800_000);
        let at_9999 = certificates_out_of_date(&settings, 253_370_764_800_000);
        at_2000.iter().chain(&at_9999).map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_valid_is_named_with_its_date_and_the_remedy() {
        let faults = of(&format!(
            "{{ ca = \"{CERTS}/localhost.pem\", certificate = \"{CERTS}/localhost.pem\", key = \"{CERTS}/localhost.key\" }}"
        ));
        assert_eq!(faults.len(), 4, "{faults:?}");
        let early = "queues.q.downstream.tls.certificate: the certificate in the file";
        assert!(
            faults[0].contains(early) && faults[0].contains("is valid only from 20"),
            "{faults:?}"
        );
        assert!(faults[3].contains("downstream.tls.ca: "), "{faults:?}");
        assert!(faults[3].contains("expired at ") && faults[3].contains("(SIGHUP)"), "{faults:?}");
    }

    #[test]
    fn both_forms_of_a_moment_are_read_and_nothing_else() {
        let at = |tag: u8, text: &str| moment_ms((tag, text.as_bytes())).map(rfc3339);
        assert_eq!(at(UTC_TIME, "261120120000Z").unwrap(), "2026-11-20T12:00:00.000Z");
        assert_eq!(at(UTC_TIME, "991231235959Z").unwrap(), "1999-12-31T23:59:59.000Z");
        assert_eq!(at(GENERALIZED_TIME, "20501120120000Z").unwrap(), "2050-11-20T12:00:00.000Z");
        for (tag, text) in
            [(UTC_TIME, ""), (UTC_TIME, "2611201200Z"), (UTC_TIME, "269920120000Z"), (0x30, "x")]
        {
            assert_eq!(at(tag, text), None, "{text}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = std::fs::read(format!("{CERTS}/localhost.pem")).unwrap();
        let whole = CertificateDer::from_pem_slice(&whole).unwrap();
        assert!(validity_ms(&whole).is_some());
        for len in 0..whole.len() {
            validity_ms(&whole[..len]);
            let mut spoiled = whole.to_vec();
            spoiled[len] ^= 0xff;
            validity_ms(&spoiled);
        }
    }
}

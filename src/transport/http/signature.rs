//! Standard Webhooks signatures.
//!
//! Owns the reading of a secret and the signing of `id.timestamp.body`. Refuses to know HTTP.

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::domain::endpoint::Secret;
use crate::transport::TransportError;

/// What marks a secret as base64.
const PREFIX: &str = "whsec_";

/// Secrets are pasted by people, who lose the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that has taken its secret in; cloned for each signature.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_<base64>`, or takes any other text as its bytes.
    pub(super) fn new(secret: &Secret) -> Result<Self, TransportError> {
        let key = match secret.expose().strip_prefix(PREFIX) {
            Some(encoded) => LENIENT.decode(encoded.trim()).map_err(|_| {
                TransportError(format!(
                    "downstream.signing_secret starts with {PREFIX} but what follows is not valid base64; expected {PREFIX}<base64>, or a text without that prefix"
                ))
            })?,
            None => secret.expose().as_bytes().to_vec(),
        };
        if key.is_empty() {
            return Err(TransportError(
                "downstream.signing_secret is empty; give a secret, or leave the key out to send unsigned".to_owned(),
            ));
        }
        Ok(Self(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length")))
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Result<SigningKey, TransportError> {
        SigningKey::new(&Secret::new(secret.to_owned()))
    }

    /// Test vectors of the Standard Webhooks and Svix libraries.
    #[test]
    fn published_vectors() {
        let signature = key("whsec_plJ3nmyCDGBKInavdOK15jsl").unwrap().sign(
            "msg_loFOjxBNrRLzqYUf",
            1_731_705_121,
            br#"{"event_type":"ping","data":{"success":true}}"#,
        );
        assert_eq!(signature, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=");
        let signature = key("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap().sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn a_text_without_prefix_is_its_own_bytes() {
        // "wet" is what d2V0 decodes to.
        let sign = |secret| key(secret).unwrap().sign("a", 1, b"x");
        assert_eq!(sign("wet"), sign("whsec_d2V0"));
        assert_ne!(sign("d2V0"), sign("whsec_d2V0"));
        assert_eq!(sign("whsec_d2U="), sign("whsec_d2U"), "padding may be lost");
    }

    #[test]
    fn useless_secrets_are_refused_unseen() {
        for bad in ["", "whsec_", "whsec_not base64!"] {
            let error = key(bad).unwrap_err().to_string();
            assert!(error.contains("signing_secret") && !error.contains("not base64!"), "{error}");
        }
        assert_eq!(format!("{:?}", key("hush").unwrap()), "SigningKey(***)");
    }
}

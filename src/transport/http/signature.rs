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
struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_<base64>`, or takes any other text as its bytes.
    fn new(secret: &Secret) -> Result<Self, TransportError> {
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

    /// One signature.
    fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The keys of one downstream: each signs every request, so that a secret can be changed without a call that the other
/// side cannot verify.
#[derive(Debug, Clone)]
pub(super) struct SigningKeys(Vec<SigningKey>);

impl SigningKeys {
    /// Reads each secret.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, TransportError> {
        secrets.iter().map(SigningKey::new).collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`: a signature for each key, with a space between them. `None`: nothing is signed.
    pub(super) fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> Option<String> {
        let signatures: Vec<_> = self.0.iter().map(|key| key.sign(id, timestamp_s, body)).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
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
    fn each_secret_signs_in_the_order_of_the_list() {
        let of = |secrets: &[&str]| {
            let secrets: Vec<_> = secrets.iter().map(|it| Secret::new((*it).to_owned())).collect();
            SigningKeys::new(&secrets).unwrap().sign("a", 1, b"x")
        };
        let (new, old) = (of(&["new"]).unwrap(), of(&["old"]).unwrap());
        assert_eq!(of(&["new", "old"]), Some(format!("{new} {old}")));
        assert_eq!(of(&[]), None);
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

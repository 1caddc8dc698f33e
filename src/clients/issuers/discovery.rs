//! What an issuer's discovery document says: where its keys are.
//!
//! Pure. A document of another issuer is refused, and so is an address without TLS in one that came by TLS:
//! whoever serves the document could point anywhere else. Source: OpenID Connect Discovery 1.0, sections 3
//! and 4.

use crate::config::{Value as _, WebAddress};
use serde_json::Value;

/// Where the document stands, behind the issuer's address.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Why a document tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDiscovery {
    #[error("it is no JSON object")]
    NotAnObject,
    #[error("its issuer is not the one that was asked")]
    OtherIssuer,
    #[error("its jwks_uri is no https address")]
    BadAddress,
}

/// The address of `issuer`'s document.
pub(super) fn address(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// Where the keys of `issuer` are, as its document says.
///
/// # Errors
/// It says nothing that may be gone by.
pub(super) fn keys_address(document: &[u8], issuer: &str) -> Result<WebAddress, BadDiscovery> {
    let members: Value = serde_json::from_slice(document).map_err(|_| BadDiscovery::NotAnObject)?;
    let members = members.as_object().ok_or(BadDiscovery::NotAnObject)?;
    if members.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(BadDiscovery::OtherIssuer);
    }
    let address = members.get("jwks_uri").and_then(Value::as_str).ok_or(BadDiscovery::BadAddress)?;
    let address = WebAddress::parse(address).map_err(|_| BadDiscovery::BadAddress)?;
    let is_under_tls = |address: &str| address.starts_with("https://");
    if is_under_tls(issuer) && !is_under_tls(&address.0) {
        return Err(BadDiscovery::BadAddress);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_counts_for_its_issuer_alone() {
        const ISSUER: &str = "https://issuer.example.org/a";
        let found = |text: &str| keys_address(text.as_bytes(), ISSUER).map(|url| url.0.to_string());
        let document = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        assert_eq!(
            found(&document(ISSUER, "https://keys.example.org/a")).as_deref(),
            Ok("https://keys.example.org/a")
        );
        for (text, why) in [
            ("".to_owned(), BadDiscovery::NotAnObject),
            ("[]".to_owned(), BadDiscovery::NotAnObject),
            ("[".repeat(100_000), BadDiscovery::NotAnObject),
            ("{}".to_owned(), BadDiscovery::OtherIssuer),
            (document("https://issuer.example.org/a/", "https://x.example.org"), BadDiscovery::OtherIssuer),
            (document(ISSUER, "http://127.0.0.1/keys"), BadDiscovery::BadAddress),
            (document(ISSUER, "http://169.254.169.254/keys"), BadDiscovery::BadAddress),
            (document(ISSUER, "file:///etc/passwd"), BadDiscovery::BadAddress),
            (format!(r#"{{"issuer":"{ISSUER}","jwks_uri":7}}"#), BadDiscovery::BadAddress),
        ] {
            assert_eq!(found(&text), Err(why), "{text:.80}");
        }
    }

    #[test]
    fn the_document_stands_behind_the_issuer() {
        assert_eq!(
            address("https://a.example.org/"),
            "https://a.example.org/.well-known/openid-configuration"
        );
        assert_eq!(
            address("https://a.example.org/x"),
            "https://a.example.org/x/.well-known/openid-configuration"
        );
    }
}

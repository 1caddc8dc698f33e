//! How a TLS session is shown: `TLSv1.3/TLS_AES_256_GCM_SHA384/ECDH=X25519`, with OpenSSL's names, as
//! PgBouncer's SHOW tables and log have it (doc/usage.md, SHOW CLIENTS).

use rustls::{CommonState, ProtocolVersion};

/// The session's text; empty before the handshake is done.
pub(crate) fn tls_text(session: &CommonState) -> String {
    let (Some(version), Some(suite)) = (session.protocol_version(), session.negotiated_cipher_suite()) else {
        return String::new();
    };
    let version = match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = openssl_name(&format!("{:?}", suite.suite()));
    let group = session
        .negotiated_key_exchange_group()
        .map(|group| format!("/ECDH={}", curve(&format!("{:?}", group.name()))));
    format!("{version}/{suite}{}", group.unwrap_or_default())
}

/// `TLS13_AES_256_GCM_SHA384` -> `TLS_AES_256_GCM_SHA384`; `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` ->
/// `ECDHE-RSA-AES256-GCM-SHA384`.
pub(super) fn openssl_name(iana: &str) -> String {
    if let Some(rest) = iana.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let Some((exchange, cipher)) = iana.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_"))
    else {
        return iana.to_owned();
    };
    let cipher = cipher.replace("AES_", "AES").replace("POLY1305_SHA256", "POLY1305");
    format!("{exchange}_{cipher}").replace('_', "-")
}

/// The curves that OpenSSL calls otherwise.
fn curve(name: &str) -> &str {
    match name {
        "secp256r1" => "prime256v1",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_openssls_names() {
        for (iana, openssl) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(openssl_name(iana), openssl);
        }
        assert_eq!(curve("secp256r1"), "prime256v1");
        assert_eq!(curve("X25519"), "X25519");
    }
}

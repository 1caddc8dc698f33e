//! Why TLS with AWS failed, in words that help.

use std::error::Error;
use std::io;

/// What TLS has against the other side: it lies within errors of the system, which do not
/// show it as their source.
fn tls_error<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        error = error.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

/// The authority is none that is known here.
pub(super) const UNTRUSTED: &str = "its certificate was refused: the issuer is not trusted; AWS_CA_BUNDLE \
                                    must name a file that has it";

/// The refusal of a certificate or of TLS, which hides in what looks like a failed connection.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    Some(match tls_error(error)? {
        rustls::Error::InvalidCertificate(bad) => match bad {
            // An authority of the same name, with another key.
            Bad::UnknownIssuer | Bad::BadSignature => UNTRUSTED,
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate was refused: it has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate was refused: it is not valid yet"
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "its certificate was refused: it is for another host"
            }
            _ => "its certificate was refused",
        },
        _ => "no TLS could be agreed on",
    })
}

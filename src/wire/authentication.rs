//! The messages of a login's proof, both directions, read and written: Authentication* requests
//! and the answers to them.
//!
//! Knows their form only; what they prove is `auth`'s matter. Source: PostgreSQL documentation, "Message
//! Formats" and "SASL Authentication".

use super::tags::{client, server};
use super::{WireError, cstr, encode};

/// The one SASL mechanism that the pooler speaks. Source: RFC 7677.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// Codes of the authentication requests.
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const CLEARTEXT_PASSWORD: u32 = 3;
    pub(super) const MD5_PASSWORD: u32 = 5;
    pub(super) const SASL: u32 = 10;
    pub(super) const SASL_CONTINUE: u32 = 11;
    pub(super) const SASL_FINAL: u32 = 12;
}

/// What a server asks for during login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthRequest<'a> {
    /// Nothing more: the login is accepted.
    Ok,
    /// The password as it is.
    CleartextPassword,
    /// The password hashed with this salt.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// SASL by one of these mechanisms.
    Sasl(Mechanisms<'a>),
    /// SASL's next challenge.
    SaslContinue(&'a [u8]),
    /// SASL's last word of the server.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI, …: not spoken here.
    Other(u32),
}

/// The list of SASL mechanisms that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

impl<'a> Mechanisms<'a> {
    /// The names in the server's order of preference; ends at the first one that is not terminated.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, behind) = cstr::split(rest)?;
            rest = behind;
            (!name.is_empty()).then_some(name)
        })
    }

    /// Whether `mechanism` is offered.
    pub fn offers(&self, mechanism: &str) -> bool {
        self.iter().any(|name| name == mechanism.as_bytes())
    }
}

/// Reads the payload of an authentication request.
///
/// # Errors
/// [`WireError::Malformed`] where there is no code, or a salt is not 4 bytes long.
pub fn request(payload: &[u8]) -> Result<AuthRequest<'_>, WireError> {
    const MALFORMED: WireError = WireError::Malformed { tag: server::AUTHENTICATION };
    let (code, data) = payload.split_first_chunk().ok_or(MALFORMED)?;
    Ok(match u32::from_be_bytes(*code) {
        code::OK => AuthRequest::Ok,
        code::CLEARTEXT_PASSWORD => AuthRequest::CleartextPassword,
        code::MD5_PASSWORD => AuthRequest::Md5Password { salt: data.try_into().map_err(|_| MALFORMED)? },
        code::SASL => AuthRequest::Sasl(Mechanisms(data)),
        code::SASL_CONTINUE => AuthRequest::SaslContinue(data),
        code::SASL_FINAL => AuthRequest::SaslFinal(data),
        other => AuthRequest::Other(other),
    })
}

/// Reads a client's PasswordMessage: the password as it is, or the answer to an MD5 request.
///
/// # Errors
/// [`WireError::Malformed`] unless the payload is exactly one zero-terminated string.
pub fn password(payload: &[u8]) -> Result<&[u8], WireError> {
    match cstr::split(payload) {
        Some((password, [])) => Ok(password),
        _ => Err(WireError::Malformed { tag: client::PASSWORD }),
    }
}

/// Reads a client's SASLInitialResponse: the chosen mechanism and its first message,
/// `None` where it sent none.
///
/// # Errors
/// [`WireError::Malformed`] where the name is not terminated or the length does not fit.
pub fn sasl_initial(payload: &[u8]) -> Result<(&[u8], Option<&[u8]>), WireError> {
    const MALFORMED: WireError = WireError::Malformed { tag: client::PASSWORD };
    let (mechanism, rest) = cstr::split(payload).ok_or(MALFORMED)?;
    let (length, data) = rest.split_first_chunk().ok_or(MALFORMED)?;
    match i32::from_be_bytes(*length) {
        -1 if data.is_empty() => Ok((mechanism, None)),
        length if usize::try_from(length) == Ok(data.len()) => Ok((mechanism, Some(data))),
        _ => Err(MALFORMED),
    }
}

fn write_request(out: &mut Vec<u8>, code: u32, data: &[u8]) {
    encode::frame(out, server::AUTHENTICATION, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// AuthenticationOk.
pub fn write_ok(out: &mut Vec<u8>) {
    write_request(out, code::OK, &[]);
}

/// AuthenticationCleartextPassword.
pub fn write_cleartext_request(out: &mut Vec<u8>) {
    write_request(out, code::CLEARTEXT_PASSWORD, &[]);
}

/// AuthenticationMD5Password.
pub fn write_md5_request(out: &mut Vec<u8>, salt: [u8; 4]) {
    write_request(out, code::MD5_PASSWORD, &salt);
}

/// AuthenticationSASL, offering `mechanism` alone.
pub fn write_sasl_request(out: &mut Vec<u8>, mechanism: &str) {
    let mut list = Vec::with_capacity(mechanism.len() + 2);
    encode::cstr(&mut list, mechanism.as_bytes());
    list.push(0);
    write_request(out, code::SASL, &list);
}

/// AuthenticationSASLContinue.
pub fn write_sasl_continue(out: &mut Vec<u8>, challenge: &[u8]) {
    write_request(out, code::SASL_CONTINUE, challenge);
}

/// AuthenticationSASLFinal.
pub fn write_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    write_request(out, code::SASL_FINAL, data);
}

/// PasswordMessage: `password` must hold no zero byte.
pub fn write_password(out: &mut Vec<u8>, password: &[u8]) {
    encode::frame(out, client::PASSWORD, |out| encode::cstr(out, password));
}

/// SASLInitialResponse.
pub fn write_sasl_initial(out: &mut Vec<u8>, mechanism: &str, first: &[u8]) {
    encode::frame(out, client::PASSWORD, |out| {
        encode::cstr(out, mechanism.as_bytes());
        out.extend_from_slice(&u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(first);
    });
}

/// SASLResponse.
pub fn write_sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    encode::frame(out, client::PASSWORD, |out| out.extend_from_slice(data));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out.split_off(HEADER_BYTES)
    }

    #[test]
    fn requests_are_read_back_as_written() {
        assert_eq!(request(&written(write_ok)), Ok(AuthRequest::Ok));
        assert_eq!(request(&written(write_cleartext_request)), Ok(AuthRequest::CleartextPassword));
        let md5 = written(|out| write_md5_request(out, *b"abcd"));
        assert_eq!(request(&md5), Ok(AuthRequest::Md5Password { salt: *b"abcd" }));
        let sasl = written(|out| write_sasl_request(out, SCRAM_SHA_256));
        let Ok(AuthRequest::Sasl(mechanisms)) = request(&sasl) else { panic!("not SASL") };
        assert!(mechanisms.offers(SCRAM_SHA_256));
        assert!(!mechanisms.offers("SCRAM-SHA-256-PLUS"));
        assert_eq!(mechanisms.iter().count(), 1);
        assert_eq!(
            request(&written(|out| write_sasl_continue(out, b"r=x"))),
            Ok(AuthRequest::SaslContinue(b"r=x"))
        );
        assert_eq!(
            request(&written(|out| write_sasl_final(out, b"v=x"))),
            Ok(AuthRequest::SaslFinal(b"v=x"))
        );
        assert_eq!(request(&[0, 0, 0, 7]), Ok(AuthRequest::Other(7)));
        assert!(request(&[0, 0, 0]).is_err());
        assert!(request(&[0, 0, 0, 5, 1, 2, 3]).is_err());
    }

    #[test]
    fn answers_are_read_back_as_written() {
        assert_eq!(password(&written(|out| write_password(out, b"secret"))), Ok(&b"secret"[..]));
        assert!(password(b"secret").is_err());
        let first = written(|out| write_sasl_initial(out, SCRAM_SHA_256, b"n,,n=,r=x"));
        assert_eq!(sasl_initial(&first), Ok((&b"SCRAM-SHA-256"[..], Some(&b"n,,n=,r=x"[..]))));
        assert_eq!(sasl_initial(b"X\0\xff\xff\xff\xff"), Ok((&b"X"[..], None)));
        assert!(sasl_initial(b"X\0\0\0\0\x02a").is_err());
        assert!(sasl_initial(b"X\0\xff\xff\xff\xffa").is_err());
        for length in [i32::MAX, i32::MIN, -2, i32::MAX - 5] {
            let payload = [&b"X\0"[..], &length.to_be_bytes(), b"a"].concat();
            assert!(sasl_initial(&payload).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(AuthRequest::Sasl(mechanisms)) = request(&payload) {
                prop_assert!(mechanisms.iter().count() <= payload.len());
            }
            let _ = password(&payload);
            let _ = sasl_initial(&payload);
        }
    }
}

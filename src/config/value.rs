//! How the text of a setting or key becomes a typed value, and back into the text that SHOW CONFIG prints.
//!
//! Pure. Invariant: what `show` prints, `parse` reads again as the same value. Source: PgBouncer,
//! doc/config.md; times print as C's `%g`.

use crate::base::{Micros, Password};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

/// Why a value was refused. Never holds the value itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It is not of the accepted form, which the error names.
    #[error("accepted: {0}")]
    NotAccepted(String),
    /// It is well formed and still refused; the text says why.
    #[error("{0}")]
    Refused(String),
}

/// A typed value of a setting or of a key in a connection string.
pub trait Value: Sized {
    /// Reads `text`, which is already trimmed.
    ///
    /// # Errors
    /// `BadValue`, naming what is accepted.
    fn parse(text: &str) -> Result<Self, BadValue>;

    /// The text of SHOW CONFIG; `None` = NULL.
    fn show(&self) -> Option<String>;

    /// What is accepted, for errors and the reference page.
    fn accepted() -> String;

    /// What of this value takes no effect in this version, if anything does not.
    fn caveat(&self) -> Option<&'static str> {
        None
    }
}

/// The usual refusal of a `T`.
pub(super) fn not_accepted<T: Value>() -> BadValue {
    BadValue::NotAccepted(T::accepted())
}

/// A whole number as C's `strtol` with base 0 reads it: decimal, `0x` hexadecimal, `0` octal, with a sign.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        None => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None; // a second sign, which from_str_radix would take
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// `seconds` as C prints it with `%g`: six significant digits, no trailing zeros.
fn percent_g(seconds: f64) -> String {
    let scientific = format!("{seconds:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{seconds:.decimals$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

impl Value for u32 {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let number = integer(text).filter(|n| *n <= i64::from(i32::MAX));
        number.and_then(|n| Self::try_from(n).ok()).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn accepted() -> String {
        "an integer from 0 to 2147483647".to_owned()
    }
}

impl Value for NonZeroU32 {
    fn parse(text: &str) -> Result<Self, BadValue> {
        u32::parse(text).ok().and_then(Self::new).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn accepted() -> String {
        "an integer from 1 to 2147483647".to_owned()
    }
}

/// A TCP port.
impl Value for u16 {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let number = integer(text).and_then(|n| Self::try_from(n).ok());
        number.filter(|port| *port > 0).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn accepted() -> String {
        "a port from 1 to 65535".to_owned()
    }
}

/// A switch: an integer as in PgBouncer, anything but 0 is on.
impl Value for bool {
    fn parse(text: &str) -> Result<Self, BadValue> {
        integer(text).map(|n| n != 0).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(u8::from(*self).to_string())
    }
    fn accepted() -> String {
        "0 or 1".to_owned()
    }
}

/// A span of time, written in seconds.
impl Value for Micros {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && !s.is_sign_negative());
        // A span beyond u64 saturates: it is for ever either way.
        seconds.map(|s| Self((s * 1e6).round() as u64)).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(percent_g(self.0 as f64 / 1e6))
    }
    fn accepted() -> String {
        "seconds without a unit, 0 or more".to_owned()
    }
}

impl Value for Arc<str> {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(text.into())
    }
    fn show(&self) -> Option<String> {
        Some(self.as_ref().to_owned())
    }
    fn accepted() -> String {
        "text".to_owned()
    }
}

/// Never shown: `show` is NULL.
impl Value for Password {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(Self::new(text))
    }
    fn show(&self) -> Option<String> {
        None
    }
    fn accepted() -> String {
        "text".to_owned()
    }
}

/// Something that need not be set; NULL where it is not.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, BadValue> {
        T::parse(text).map(Some)
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
    fn accepted() -> String {
        T::accepted()
    }
    fn caveat(&self) -> Option<&'static str> {
        self.as_ref().and_then(T::caveat)
    }
}

/// Words separated by commas. Dereferences to the words; shows the text as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    text: Arc<str>,
    words: Arc<[Arc<str>]>,
}

impl Deref for List {
    type Target = [Arc<str>];
    fn deref(&self) -> &Self::Target {
        &self.words
    }
}

impl List {
    /// Whether `word` is one of the words, exactly.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|have| &**have == word)
    }
}

impl Value for List {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Ok(Self { text: text.into(), words: words.map(Arc::from).collect() })
    }
    fn show(&self) -> Option<String> {
        Some(self.text.as_ref().to_owned())
    }
    fn accepted() -> String {
        "a list of words separated by commas".to_owned()
    }
}

/// Permission bits of a file, written in octal with a leading 0. SHOW CONFIG prints them in
/// decimal, as PgBouncer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Value for FileMode {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let bits = u32::parse(text).ok().filter(|bits| *bits <= 0o7777);
        bits.map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        self.0.show()
    }
    fn accepted() -> String {
        "permission bits up to 07777, octal when they begin with 0".to_owned()
    }
}

/// A number of bytes, with a unit as PostgreSQL writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl Bytes {
    /// From the largest on, so that each size is shown with the largest unit that it is a multiple of.
    const UNITS: [(&'static str, usize); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];
}

impl Value for Bytes {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim_start() {
            "" => Some(1),
            unit => {
                Self::UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, size)| *size)
            }
        };
        let bytes = number.parse::<usize>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        let (unit, size) = Self::UNITS.into_iter().find(|(_, size)| self.0.is_multiple_of(*size))?;
        Some(format!("{} {unit}", self.0 / size))
    }
    fn accepted() -> String {
        "a number of bytes above 0, with B, kB, MB or GB behind it or nothing".to_owned()
    }
}

/// Where the Prometheus page is served; nowhere if empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOn(pub Option<SocketAddr>);

impl Value for ListenOn {
    fn parse(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| not_accepted::<Self>())
    }
    fn show(&self) -> Option<String> {
        Some(self.0.map(|address| address.to_string()).unwrap_or_default())
    }
    fn accepted() -> String {
        "ADDR:PORT with an IP address (IPv6 in brackets), or nothing".to_owned()
    }
}

/// A size where any negative number means "not set here".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub Option<u32>);

impl Value for Size {
    fn parse(text: &str) -> Result<Self, BadValue> {
        match integer(text) {
            Some(n) if n < 0 => Ok(Self(None)),
            _ => u32::parse(text).map(|n| Self(Some(n))),
        }
    }
    fn show(&self) -> Option<String> {
        self.0.and_then(|n| n.show())
    }
    fn accepted() -> String {
        u32::accepted()
    }
}

/// A limit where 0 and any negative number mean "not set here".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(pub Option<u32>);

impl Value for Limit {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Size::parse(text).map(|size| Self(size.0.filter(|n| *n > 0)))
    }
    fn show(&self) -> Option<String> {
        self.0.and_then(|n| n.show())
    }
    fn accepted() -> String {
        u32::accepted()
    }
}

/// A span of time in seconds where 0 means "not set here".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub Option<Micros>);

impl Value for Span {
    fn parse(text: &str) -> Result<Self, BadValue> {
        match integer(text) {
            Some(n) if n < 0 => Ok(Self(None)),
            _ => Micros::parse(text).map(|span| Self(Some(span).filter(|span| span.0 > 0))),
        }
    }
    fn show(&self) -> Option<String> {
        self.0.and_then(|span| span.show())
    }
    fn accepted() -> String {
        Micros::accepted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_base_0() {
        assert_eq!(u32::parse("0x10"), Ok(16));
        assert_eq!(u32::parse("010"), Ok(8));
        assert_eq!(u32::parse("0"), Ok(0));
        assert_eq!(u32::parse("+7"), Ok(7));
        for bad in
            ["", "-1", "1s", "--1", "+-1", "0x", "09", "1.5", "2147483648", "9999999999999999999999", "on"]
        {
            assert_eq!(u32::parse(bad), Err(not_accepted::<u32>()), "{bad:?}");
        }
        assert_eq!(FileMode::parse("0777"), Ok(FileMode(511)));
        assert_eq!(FileMode(511).show().as_deref(), Some("511"));
    }

    #[test]
    fn bytes_have_units() {
        for (text, bytes, shown) in [
            ("1", 1, "1 B"),
            ("1024", 1024, "1 kB"),
            ("256MB", 256 << 20, "256 MB"),
            ("3 gb", 3 << 30, "3 GB"),
            ("1025 kB", 1025 << 10, "1025 kB"),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
            assert_eq!(Bytes(bytes).show().as_deref(), Some(shown));
        }
        for bad in
            ["", "0", "0MB", "-1", "MB", "1 TB", "1.5 GB", "1 M B", "99999999999999999999", "999999999999 GB"]
        {
            assert!(Bytes::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_print_as_percent_g() {
        let cases = [
            ("0", "0"),
            ("0.5", "0.5"),
            ("3600", "3600"),
            ("15.000", "15"),
            ("0.29", "0.29"),
            ("100000", "100000"),
            ("1000000", "1e+06"),
            ("1234567.8", "1.23457e+06"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            ("123.4567", "123.457"),
            ("999999.9", "1e+06"),
        ];
        for (text, shown) in cases {
            assert_eq!(Micros::parse(text).unwrap().show().as_deref(), Some(shown), "{text}");
        }
        for bad in ["", "-1", "inf", "nan", "5s", "1 s", "-0.5"] {
            assert!(Micros::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Micros::parse("1e300"), Ok(Micros::NEVER));
    }

    #[test]
    fn overrides_know_when_they_are_not_set() {
        assert_eq!(Size::parse("-1"), Ok(Size(None)));
        assert_eq!(Size::parse("0"), Ok(Size(Some(0))));
        assert_eq!(Limit::parse("0"), Ok(Limit(None)));
        assert_eq!(Limit::parse("3"), Ok(Limit(Some(3))));
        assert_eq!(Span::parse("0"), Ok(Span(None)));
        assert_eq!(Span::parse("-1"), Ok(Span(None)));
        assert_eq!(Span::parse("2.5"), Ok(Span(Some(Micros(2_500_000)))));
        assert!(
            Size::parse("many").is_err() && Limit::parse("many").is_err() && Span::parse("long").is_err()
        );
    }

    #[test]
    fn lists_keep_their_text_and_trim_their_words() {
        let list = List::parse("a, b ,,c").unwrap();
        assert_eq!(list.iter().map(|word| &**word).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(list.has("b") && !list.has("B"));
        assert_eq!(list.show().as_deref(), Some("a, b ,,c"));
        assert!(List::parse("").unwrap().is_empty());
    }

    #[test]
    fn addresses_are_numeric() {
        assert_eq!(ListenOn::parse(""), Ok(ListenOn(None)));
        assert_eq!(ListenOn::parse("[::1]:9127").unwrap().show().as_deref(), Some("[::1]:9127"));
        assert!(ListenOn::parse("localhost:9127").is_err());
        assert!(ListenOn::parse("127.0.0.1").is_err());
    }
}

//! The addresses that a rule is for: all, or those of one network.
//!
//! No host names, no `samehost`, no `samenet`, as with PgBouncer (doc/config.md, "HBA file format"): they are
//! told from what is no address at all, which PostgreSQL does not take either.

use super::error::{Unsupported, Wrong};
use super::tokens::{Token, Tokens};
use crate::config::shown;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    All,
    V4 {
        address: u32,
        mask: u32,
    },
    /// Apart, since they would make every rule longer.
    V6(Box<V6>),
}

/// A network of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V6 {
    address: u128,
    mask: u128,
}

impl Addresses {
    /// `all`, `ADDRESS/BITS` or `ADDRESS MASK`; and what keeps a rule from being read as it is meant.
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<(Self, Option<Unsupported>), Wrong> {
        let Token::Word(word) = tokens.current() else { return Err(Wrong::NoAddress) };
        let word = word.clone();
        tokens.take()?;
        if word == "all" {
            return Ok((Self::All, None));
        }
        if is_host_name(&word) {
            return Ok((Self::All, Some(Unsupported::HostName(shown(&word)))));
        }
        Ok((Self::network(&word, tokens)?, None))
    }

    /// `ADDRESS/BITS`, or `ADDRESS` with its mask in front of `tokens`.
    fn network(word: &str, tokens: &mut Tokens<'_>) -> Result<Self, Wrong> {
        let (address, bits) = match word.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (word, None),
        };
        let address: IpAddr = address.parse().map_err(|_| Wrong::BadAddress(shown(address)))?;
        let mask = match bits {
            Some(bits) => of_bits(address, bits).ok_or_else(|| Wrong::BadMask(shown(bits)))?,
            None => {
                let Token::Word(mask) = tokens.current() else { return Err(Wrong::NoMask) };
                let parsed: IpAddr = mask.parse().map_err(|_| Wrong::BadMask(shown(mask)))?;
                tokens.take()?;
                parsed
            }
        };
        match (address, mask) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => {
                Ok(Self::V4 { address: address.to_bits(), mask: mask.to_bits() })
            }
            (IpAddr::V6(address), IpAddr::V6(mask)) => {
                Ok(Self::V6(Box::new(V6 { address: address.to_bits(), mask: mask.to_bits() })))
            }
            (_, mask) => Err(Wrong::BadMask(mask.to_string())),
        }
    }

    /// Whether a client at `ip` comes from one of them.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::All, _) => true,
            (Self::V4 { address, mask }, IpAddr::V4(ip)) => ip.to_bits() & mask == *address,
            (Self::V6(own), IpAddr::V6(ip)) => ip.to_bits() & own.mask == own.address,
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether every address of `other` is one of these.
    pub(super) fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::V4 { address, mask }, Self::V4 { address: inner, mask: longer }) => {
                mask & longer == *mask && inner & mask == *address
            }
            (Self::V6(own), Self::V6(inner)) => {
                own.mask & inner.mask == own.mask && inner.address & own.mask == own.address
            }
            (Self::V4 { .. }, _) | (Self::V6(_), _) => false,
        }
    }

    /// Address and mask, where bits of the address lie outside of the mask: no client has such an address.
    pub(super) fn impossible(&self) -> Option<(String, String)> {
        match self {
            Self::V4 { address, mask } if address & !mask != 0 => {
                Some((Ipv4Addr::from_bits(*address).to_string(), Ipv4Addr::from_bits(*mask).to_string()))
            }
            Self::V6(own) if own.address & !own.mask != 0 => Some((
                Ipv6Addr::from_bits(own.address).to_string(),
                Ipv6Addr::from_bits(own.mask).to_string(),
            )),
            Self::All | Self::V4 { .. } | Self::V6(_) => None,
        }
    }
}

/// Whether `word` is a name and not a mistyped address: `db.example`, `.example`, `samenet`.
fn is_host_name(word: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte) || !byte.is_ascii();
    word.bytes().all(is_of_name) && word.bytes().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
}

/// The mask whose first `bits` are set, for addresses such as `address`.
fn of_bits(address: IpAddr, bits: &str) -> Option<IpAddr> {
    if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let bits: u32 = bits.parse().ok()?;
    match address {
        IpAddr::V4(_) if bits <= 32 => {
            Some(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into())
        }
        IpAddr::V6(_) if bits <= 128 => {
            Some(Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

//! What is asked of a token, rule by rule.

mod claims;
mod form;
mod key_set;
mod mint;
mod properties;
mod shapes;
mod vectors;
mod verify;

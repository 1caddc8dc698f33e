//! What is asked of a token, rule by rule.

mod mint;
mod verify;

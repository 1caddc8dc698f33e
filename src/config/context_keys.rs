//! The value of `request_context_keys`. What the keys are for is `wire::request_context`'s.

use super::value::{BadValue, Value, not_accepted};
use crate::base::limits;
use crate::wire::request_context::ContextKeys;

/// Keys, if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextKeyList(pub Option<ContextKeys>);

impl Value for ContextKeyList {
    fn parse(text: &str) -> Result<Self, BadValue> {
        ContextKeys::read(text).map(Self).map_err(|_| not_accepted::<Self>())
    }
    fn show(&self) -> Option<String> {
        Some(self.0.as_ref().map_or_else(String::new, ContextKeys::text))
    }
    fn accepted() -> String {
        let most = limits::CONTEXT_KEYS_MAX;
        format!("up to {most} names of letters, digits, '-', '_' and '.', separated by commas")
    }
}

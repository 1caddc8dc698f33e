//! What must hold for any statement that is searched for the context of a request: it comes to an end, and
//! what is taken is a listed key with a printable value that is not too long.

use pgweir::wire::request_context::{ContextKeys, RequestContext, SaidBySql, SetContext, deallocated};

/// As `limits::CONTEXT_VALUE_BYTES_MAX` has it.
const VALUE_BYTES_MAX: usize = 256;

/// `data` is a statement.
pub fn run(data: &[u8]) {
    let keys = ContextKeys::read("traceparent,x-amzn-trace-id,a").expect("they are keys").expect("some");
    let mut context = RequestContext::default();
    context.take_comments(&keys, data, data.len().is_multiple_of(2));
    if let Some(said) = SaidBySql::read(data) {
        let _ = said.for_server(data);
        for set in said.sets() {
            if let SetContext::Session(pairs) | SetContext::Local(pairs) = set {
                context.take_pairs(&keys, pairs);
            }
        }
    }
    let _ = (SaidBySql::is_begun_by(data), deallocated(data));
    if let Ok(text) = std::str::from_utf8(data) {
        context.take_pairs(&keys, text);
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        context.take_parameter(&keys, name, value);
        drop(ContextKeys::read(text));
    }
    for (key, value) in context.iter() {
        assert!(["traceparent", "x-amzn-trace-id", "a"].contains(&key), "{key}");
        assert!(value.len() <= VALUE_BYTES_MAX && !value.chars().any(char::is_control), "{value:?}");
    }
}

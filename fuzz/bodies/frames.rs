//! What must hold for any bytes after login, from a client or a server: headers and views never panic, and
//! what a view gives lies inside its message.

use pgweir::wire::{FrameHeader, HEADER_BYTES, authentication, backend, frontend};

/// Walks `data` as frames; hands every payload to every view, since a peer may send
/// any payload under any tag.
pub fn run(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(header)) = FrameHeader::read(rest, 1 << 20) {
        assert!(header.frame_bytes >= HEADER_BYTES);
        let Some(frame) = rest.get(..header.frame_bytes) else { break };
        views(&frame[HEADER_BYTES..]);
        rest = &rest[header.frame_bytes..];
    }
    views(data);
}

fn views(payload: &[u8]) {
    if let Ok(text) = frontend::query_view(payload) {
        assert_eq!(text.len() + 1, payload.len());
    }
    if let Ok(view) = frontend::parse_view(payload) {
        assert_eq!(view.name.len() + 1 + view.rest.len(), payload.len());
    }
    if let Ok(Some(view)) = frontend::bind_view(payload) {
        assert_eq!(view.rest_at, view.portal.len() + view.statement.len() + 2);
        for cut in view.rest_at..payload.len() {
            assert_eq!(frontend::bind_view(&payload[..cut]), Ok(Some(view)), "a longer prefix says the same");
        }
    }
    if let Ok(view) = frontend::target_view(payload) {
        assert_eq!(view.name.len() + 2, payload.len());
    }
    let _ = backend::parameter_status(payload);
    let _ = backend::ready_status(payload);
    let _ = backend::backend_key(payload);
    let _ = backend::command_tag(payload);
    if let Ok(fields) = backend::ErrorFields::read(payload) {
        let _ = (fields.severity(), fields.sqlstate(), fields.message(), fields.detail());
    }
    let _ = authentication::request(payload);
    let _ = authentication::password(payload);
    let _ = authentication::sasl_initial(payload);
}

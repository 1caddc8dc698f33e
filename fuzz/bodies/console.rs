//! What must hold for any text as a console command: an order or a refusal, never a panic.

use pgweir::console::grammar::{Order, parse};

/// Reads `data` as a Query's text.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(Order::Set { key, value }) = parse(&text) {
        assert!(key.len() <= 63 && value.len() <= 255, "longer ones are refused");
    }
}

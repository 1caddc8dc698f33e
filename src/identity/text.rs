//! Text of strangers, as a line of a log may hold it: one line, printable, not without end.

use crate::base::limits;

/// `text` on one line: what is not printable is escaped, what is too long is cut.
pub(super) fn shown(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= limits::CLAIM_SHOWN_BYTES_MAX {
            line.push('…');
            break;
        }
        if is_printable(character) {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
    }
    line
}

/// Whether a reader sees the character and nothing else by it: no control character, no end of a line, and
/// nothing that turns the direction of what follows or takes no room.
pub(super) fn is_printable(character: char) -> bool {
    let is_hidden = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !character.is_control() && !is_hidden
}

//! The words of options behind a method: blanks or commas between, quotes anywhere in a word, `""` within
//! quotes is a quote, `#` begins a comment.
//!
//! What they hold may be a secret: it is wiped. Source: PostgreSQL documentation, "The pg_hba.conf File".

use zeroize::Zeroizing;

/// Why a text has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadWord {
    QuoteNotClosed,
    NotUtf8,
    ZeroByte,
}

/// A word, and what follows it.
type Word<'a> = (Zeroizing<String>, &'a [u8]);

/// The word at the front of `input`, without its quotes, and what follows it; `None` at the end.
pub(super) fn word(input: &[u8]) -> Result<Option<Word<'_>>, BadWord> {
    let is_gap = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b' || *byte == b',';
    let gap = input.iter().take_while(|byte| is_gap(byte)).count();
    let mut rest = &input[gap..];
    let (mut word, mut is_quoted) = (Zeroizing::new(Vec::new()), false);
    if matches!(rest.first(), None | Some(b'#')) {
        return Ok(None);
    }
    while let [first, behind @ ..] = rest {
        match first {
            b'"' if is_quoted && behind.first() == Some(&b'"') => {
                word.push(b'"');
                rest = &behind[1..];
                continue;
            }
            b'"' => is_quoted = !is_quoted,
            byte if !is_quoted && (is_gap(byte) || *byte == b'#') => break,
            0 => return Err(BadWord::ZeroByte),
            byte => word.push(*byte),
        }
        rest = behind;
    }
    if is_quoted {
        return Err(BadWord::QuoteNotClosed);
    }
    let word = std::str::from_utf8(&word).map_err(|_| BadWord::NotUtf8)?.to_owned();
    Ok(Some((Zeroizing::new(word), rest)))
}

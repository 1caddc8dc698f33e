//! Prose in lines: what the generated pages and the reference configuration are written with.
//!
//! Pure. Never breaks a word, nor a `code span` of a page.

/// The longest line of a page, in columns.
pub(crate) const PAGE_COLUMNS: usize = 110;

/// `text` in lines of at most `columns` characters, broken between words; a word that is longer stands alone.
pub(crate) fn lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// The words of a text; a `code span` is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split_whitespace() {
        match words.last_mut() {
            Some(word) if word.matches('`').count() % 2 == 1 => {
                word.push(' ');
                word.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// A Markdown page whose paragraphs and items are one line each, with these wrapped; rows of tables stay
/// whole.
pub(crate) fn page(text: &str) -> String {
    let mut page = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with(['|', '#']) {
            page += line;
        } else if let Some(item) = line.strip_prefix("- ") {
            page += "- ";
            page += &lines(item, PAGE_COLUMNS - 2).join("\n  ");
        } else {
            page += &lines(line, PAGE_COLUMNS).join("\n");
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_short() {
        assert_eq!(lines("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(lines("a wordthatislong b", 6), ["a", "wordthatislong", "b"]);
        assert!(lines(" ", 6).is_empty());
    }

    #[test]
    fn code_spans_are_not_broken() {
        assert_eq!(lines("set `a = b c` so", 8), ["set", "`a = b c`", "so"]);
    }

    #[test]
    fn tables_and_headings_stay_as_they_are() {
        let row = format!("| {} |", "word ".repeat(40));
        assert_eq!(page(&format!("# A page\n\n{row}\n")), format!("# A page\n\n{row}\n"));
        let item = page(&format!("- {}", "word ".repeat(40)));
        assert!(
            item.starts_with("- word") && item.lines().nth(1).is_some_and(|line| line.starts_with("  w"))
        );
        let wrapped = page(&"word ".repeat(40));
        assert!(wrapped.lines().all(|line| line.len() <= PAGE_COLUMNS) && wrapped.lines().count() == 2);
    }
}

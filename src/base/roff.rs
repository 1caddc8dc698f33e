//! Prose as manual pages want it (man(7), groff(7)). Pure.

use super::wrap;

/// `text` for the body of a page, in lines: nothing in it is taken for a request, a `code span` is bold.
pub(crate) fn text(text: &str) -> String {
    let lines = wrap::lines(text, wrap::PAGE_COLUMNS - 10); // room for what signs are written as
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}

fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    let mut is_code = false;
    for sign in text.chars() {
        match sign {
            '`' => {
                is_code = !is_code;
                written += if is_code { "\\fB" } else { "\\fR" };
            }
            '\\' => written += "\\(rs",
            '-' => written += "\\-",
            '\'' => written += "\\(aq",
            '^' => written += "\\(ha",
            '~' => written += "\\(ti",
            sign => written.push(sign),
        }
    }
    if written.starts_with('.') { format!("\\&{written}") } else { written }
}

/// An entry of a list: what it is about, in bold, and what is said of it.
pub(crate) fn item(name: &str, said: &str) -> String {
    format!(".TP\n\\fB{}\\fR\n{}\n", text(name), text(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_of_prose_is_a_request() {
        assert_eq!(text(".5 of `a-b` isn't \\"), "\\&.5 of \\fBa\\-b\\fR isn\\(aqt \\(rs");
        assert_eq!(item("x-y", "z"), ".TP\n\\fBx\\-y\\fR\nz\n");
    }
}

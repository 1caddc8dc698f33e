//! What must never be seen: marks by which a secret is recognised wherever it has leaked to.

/// In every secret key and session token that tests give out; the fake AWS of `tests/iam` has it too.
pub const MARK: &str = "hUsHhUsH";

/// Words that stand in every token, or in nothing but one.
const OF_TOKENS: [&str; 3] = ["X-Amz-Signature=", "X-Amz-Security-Token=", "Action=connect&"];

/// Panics when `text` shows a secret or a part of a token. Does not repeat it.
#[track_caller]
pub fn none_in(what: &str, text: &str) {
    for (number, line) in text.lines().enumerate() {
        let leaked = OF_TOKENS.iter().chain([&MARK]).find(|word| line.contains(**word));
        assert!(leaked.is_none(), "line {} of {what} shows a secret, recognised by {leaked:?}", number + 1);
    }
}

/// Panics when `text` shows a secret of a userlist: `"user" "secret"` in each of its lines. Names that are
/// their own passwords are no secrets, nor is what is too short to be recognised.
#[track_caller]
pub fn no_password_in(what: &str, text: &str, userlist: &str) {
    for line in userlist.lines() {
        let words: Vec<_> = line.split('"').collect();
        let [_, user, _, secret, ..] = words[..] else { continue };
        let is_secret = secret.len() >= 8 && secret != user;
        assert!(!is_secret || !text.contains(secret), "{what} shows the secret of \"{user}\"");
    }
}

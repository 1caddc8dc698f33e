//! The answer of AWS STS to GetCallerIdentity: the one form of a success, and nothing else.
//!
//! A small part of XML is read, since a reader of all of it has been fooled before: one document of known
//! elements, each once, no comment, no declaration but the first, no entity, no attribute but the root's
//! name space. Whatever else comes is no success. Source: AWS Security Token Service API Reference,
//! GetCallerIdentity.

use super::arn::CallerArn;
use crate::base::limits;

/// Of the root.
const NAME_SPACE: &str = " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"";

/// Whom STS has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// Its ARN.
    pub arn: CallerArn,
    /// Its unique id, of a role with the session's name behind a colon.
    pub user_id: String,
}

/// An answer that names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no answer to GetCallerIdentity")]
pub struct BadAnswer;

impl CallerIdentity {
    /// Reads the body of an answer with status 200.
    ///
    /// # Errors
    /// It is of any other form.
    pub fn parse(body: &[u8]) -> Result<Self, BadAnswer> {
        if body.len() > limits::STS_ANSWER_BYTES_MAX {
            return Err(BadAnswer);
        }
        let text = std::str::from_utf8(body).map_err(|_| BadAnswer)?;
        let mut reader = Reader(text.trim_ascii());
        if reader.0.starts_with("<?xml ") {
            reader.0 = reader.0.split_once("?>").ok_or(BadAnswer)?.1;
        }
        reader.open("GetCallerIdentityResponse", NAME_SPACE)?;
        let (mut result, mut has_metadata) = (None, false);
        while !reader.closes("GetCallerIdentityResponse") {
            if result.is_none() && reader.opens("GetCallerIdentityResult") {
                result = Some(reader.result()?);
            } else if !has_metadata && reader.opens("ResponseMetadata") {
                has_metadata = true;
                reader.text_of("RequestId")?;
                reader.close("ResponseMetadata")?;
            } else {
                return Err(BadAnswer);
            }
        }
        let identity = result.ok_or(BadAnswer)?;
        if reader.0.is_empty() { Ok(identity) } else { Err(BadAnswer) }
    }
}

/// What is left to be read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// Behind its begin: `Arn`, `UserId` and `Account`, in any order, and its end.
    fn result(&mut self) -> Result<CallerIdentity, BadAnswer> {
        const NAMES: [&str; 3] = ["Arn", "UserId", "Account"];
        let mut found = [None; 3];
        while !self.closes("GetCallerIdentityResult") {
            let at =
                NAMES.iter().position(|name| self.0.trim_ascii_start().starts_with(&format!("<{name}>")));
            let at = at.filter(|at| found[*at].is_none()).ok_or(BadAnswer)?;
            found[at] = Some(self.text_of(NAMES[at])?);
        }
        let [Some(arn), Some(user_id), Some(account)] = found else { return Err(BadAnswer) };
        let arn = CallerArn::parse(arn).map_err(|_| BadAnswer)?;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:-".contains(&byte);
        let is_user_id = !user_id.is_empty() && user_id.len() <= limits::ARN_BYTES_MAX;
        if arn.account != account || !is_user_id || !user_id.bytes().all(is_id) {
            return Err(BadAnswer);
        }
        Ok(CallerIdentity { arn, user_id: user_id.to_owned() })
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.0.trim_ascii_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn opens(&mut self, name: &str) -> bool {
        self.take(&format!("<{name}>"))
    }

    fn closes(&mut self, name: &str) -> bool {
        self.take(&format!("</{name}>"))
    }

    fn open(&mut self, name: &str, attributes: &str) -> Result<(), BadAnswer> {
        if self.take(&format!("<{name}{attributes}>")) { Ok(()) } else { Err(BadAnswer) }
    }

    fn close(&mut self, name: &str) -> Result<(), BadAnswer> {
        if self.closes(name) { Ok(()) } else { Err(BadAnswer) }
    }

    /// The text of an element that holds nothing else, as it stands.
    fn text_of(&mut self, name: &str) -> Result<&'a str, BadAnswer> {
        self.open(name, "")?;
        let (text, rest) = self.0.split_at(self.0.find('<').ok_or(BadAnswer)?);
        self.0 = rest;
        if !rest.starts_with(&format!("</{name}>")) || text.contains('&') {
            return Err(BadAnswer);
        }
        self.close(name)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:sts::123456789012:assumed-role/app-reader/i-0abc</Arn>
    <UserId>AROAEXAMPLE:i-0abc</UserId>
    <Account>123456789012</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"#;

    #[test]
    fn a_success_names_the_caller() {
        let of = |text: &str| CallerIdentity::parse(text.as_bytes());
        let identity = of(ANSWER).unwrap();
        assert_eq!(identity.arn.arn, "arn:aws:iam::123456789012:role/app-reader");
        assert_eq!(identity.user_id, "AROAEXAMPLE:i-0abc");
        for same in [
            format!("<?xml version=\"1.0\"?>\n{ANSWER}"),
            ANSWER.replace(['\n', ' '], "").replace("xmlns", " xmlns"),
        ] {
            assert_eq!(of(&same), Ok(identity.clone()), "{same}");
        }
    }

    #[test]
    fn whatever_else_comes_names_nobody() {
        let other_arn = "<Arn>arn:aws:iam::123456789012:user/eve</Arn>";
        let long = format!("{}{}", " ".repeat(limits::STS_ANSWER_BYTES_MAX), ANSWER);
        for text in [
            "",
            "{}",
            "<ErrorResponse/>",
            &ANSWER[..ANSWER.len() - 4],
            &format!("{ANSWER}{ANSWER}"),
            &ANSWER.replace("<GetCallerIdentityResult>", &format!("<GetCallerIdentityResult>{other_arn}")),
            &ANSWER.replace("<Account>", &format!("{other_arn}<Account>")),
            &ANSWER.replace("<ResponseMetadata>", &format!("{other_arn}<ResponseMetadata>")),
            &ANSWER.replace("<Account>123456789012", "<Account>210987654321"),
            &ANSWER.replace("<Account>", "<!-- x --><Account>"),
            &ANSWER.replace("app-reader", "app&amp;reader"),
            &ANSWER.replace("app-reader", "app<b/>reader"),
            &ANSWER.replace("<Arn>", "<Arn x=\"1\">"),
            &ANSWER.replace("2011-06-15", "2012-06-15"),
            &ANSWER.replace("assumed-role/app-reader/i-0abc", "role/app-reader"),
            &ANSWER.replace("AROAEXAMPLE:i-0abc", ""),
            &ANSWER.replace("AROAEXAMPLE:i-0abc", "A\u{0}B"),
            &ANSWER.replace("GetCallerIdentity", "GetSessionToken"),
            &format!("<!DOCTYPE x [<!ENTITY e \"f\">]>{ANSWER}"),
            &long,
        ] {
            assert_eq!(CallerIdentity::parse(text.as_bytes()), Err(BadAnswer), "{text}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_names_nobody() {
        let whole = ANSWER.trim_end().len();
        for end in 0..whole {
            assert_eq!(CallerIdentity::parse(&ANSWER.as_bytes()[..end]), Err(BadAnswer), "{end}");
        }
    }
}

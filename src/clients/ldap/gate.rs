//! What of a directory's bytes is let through to the library that reads them: whole messages of a known form,
//! written anew with no more in them than a login needs.
//!
//! A server that is hostile, or broken, is told by the first message that is out of place; it can neither
//! nest without end nor make us keep more than `limits::LDAP_ANSWERS_BYTES_MAX`. What answers another kind of
//! question than was asked is out of place: it would pass for a grant, or be more than the library bears.
//! Controls, attributes and referrals are left out: nobody here asks for the former, and a password goes to
//! no server that is not configured. Pure. Source: RFC 4511, section 4 and appendix B; section 5.1 (BER with
//! definite lengths).

use crate::base::limits;

/// Why a directory is not listened to any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::clients) enum BadAnswer {
    #[error("the answer is malformed")]
    Malformed,
    #[error("the answer is too long, or nested too deep")]
    TooMuch,
    #[error("the server has said that it ends the connection")]
    Disconnection,
}

use BadAnswer::{Disconnection, Malformed, TooMuch};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const IS_CONSTRUCTED: u8 = 0x20;

/// Tags of what a directory says.
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE_RESPONSE: u8 = 0x79;

/// What a directory is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To take a name and a password.
    Bind,
    /// For entries.
    Search,
    /// For TLS within LDAP.
    StartTls,
}

impl Asked {
    /// Whether what has this tag answers it.
    fn is_answered_by(self, tag: u8) -> bool {
        match self {
            Self::Bind => tag == BIND_RESPONSE,
            Self::Search => matches!(tag, SEARCH_ENTRY | SEARCH_DONE | SEARCH_REFERENCE),
            Self::StartTls => tag == EXTENDED_RESPONSE,
        }
    }
}

/// What a directory has sent and nobody has read.
#[derive(Debug)]
pub(super) struct Gate {
    /// What it is asked, in this order; the first question has the id 1.
    asked: &'static [Asked],
    unread: Vec<u8>,
    received: usize,
}

/// A message that is let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its result; 0 is success.
    pub code: u8,
    /// All of it, as it is written anew.
    pub bytes: Vec<u8>,
}

impl Gate {
    /// In front of a directory that is asked this and no more.
    pub(super) fn new(asked: &'static [Asked]) -> Self {
        Self { asked, unread: Vec::new(), received: 0 }
    }

    /// Takes bytes, cut anywhere.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), BadAnswer> {
        self.received += bytes.len();
        if self.received > limits::LDAP_ANSWERS_BYTES_MAX {
            return Err(TooMuch);
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether all was read that has come.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// The next message that is let through; `None`: it has not come yet.
    ///
    /// # Errors
    /// What is wrong with what has come.
    pub(super) fn next_answer(&mut self) -> Result<Option<Answer>, BadAnswer> {
        loop {
            if self.unread.first().is_some_and(|tag| *tag != SEQUENCE) {
                return Err(Malformed);
            }
            let Some(message) = element(&self.unread)? else { return Ok(None) };
            let answer = answer(message.content, self.asked)?;
            let rest = message.rest.len();
            self.unread.drain(..self.unread.len() - rest);
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }
}

/// One element of BER, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The element at the front of `input`; `None`: it is not whole.
fn element(input: &[u8]) -> Result<Option<Element<'_>>, BadAnswer> {
    let [tag, first, behind @ ..] = input else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed); // LDAP has no tag that takes more than a byte
    }
    let (length, behind) = match usize::from(*first) {
        length @ 0..0x80 => (length, behind),
        0x80 | 0x85.. => return Err(Malformed),
        more => {
            let Some((digits, behind)) = behind.split_at_checked(more - 0x80) else { return Ok(None) };
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), behind)
        }
    };
    if length > limits::LDAP_MESSAGE_BYTES_MAX {
        return Err(TooMuch);
    }
    Ok(behind.split_at_checked(length).map(|(content, rest)| Element { tag: *tag, content, rest }))
}

/// The element at the front of what is whole.
fn inner(input: &[u8]) -> Result<Element<'_>, BadAnswer> {
    element(input)?.ok_or(Malformed)
}

/// The content of the element at the front, which has this tag, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Result<(&[u8], &[u8]), BadAnswer> {
    let found = inner(input)?;
    if found.tag == tag { Ok((found.content, found.rest)) } else { Err(Malformed) }
}

/// What the content of a message says, if it is let through.
fn answer(content: &[u8], asked: &[Asked]) -> Result<Option<Answer>, BadAnswer> {
    let (id, rest) = expect(INTEGER, content)?;
    if !matches!(id.len(), 1..=4) || id[0] >= 0x80 {
        return Err(Malformed);
    }
    if id.iter().all(|byte| *byte == 0) {
        return Err(Disconnection); // RFC 4511, 4.4: it is nobody's answer
    }
    let operation = inner(rest)?;
    check_form(operation.tag, operation.content, 0)?;
    let number = id.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let question = asked.get(number - 1).ok_or(Malformed)?;
    if operation.tag != INTERMEDIATE_RESPONSE && !question.is_answered_by(operation.tag) {
        return Err(Malformed);
    }
    let (code, body) = match operation.tag {
        BIND_RESPONSE | SEARCH_DONE | EXTENDED_RESPONSE => result(operation.content)?,
        SEARCH_ENTRY => (0, entry(operation.content)?),
        SEARCH_REFERENCE | INTERMEDIATE_RESPONSE => return Ok(None),
        _ => return Err(Malformed),
    };
    let mut inside = Vec::with_capacity(body.len() + 16);
    write(&mut inside, INTEGER, id);
    write(&mut inside, operation.tag, &body);
    let mut bytes = Vec::with_capacity(inside.len() + 8);
    write(&mut bytes, SEQUENCE, &inside);
    Ok(Some(Answer { code, bytes }))
}

/// Whether elements within elements fill each other exactly, and not too deep.
fn check_form(tag: u8, content: &[u8], depth: usize) -> Result<(), BadAnswer> {
    if depth > limits::LDAP_DEPTH_MAX {
        return Err(TooMuch);
    }
    let mut rest = if tag & IS_CONSTRUCTED == 0 { &[][..] } else { content };
    while !rest.is_empty() {
        let found = inner(rest)?;
        check_form(found.tag, found.content, depth + 1)?;
        rest = found.rest;
    }
    Ok(())
}

/// The code of a result; code, name and text of it written anew.
fn result(content: &[u8]) -> Result<(u8, Vec<u8>), BadAnswer> {
    let (code, rest) = expect(ENUMERATED, content)?;
    let (name, rest) = expect(OCTETS, rest)?;
    let (text, _) = expect(OCTETS, rest)?;
    let [code] = *code else { return Err(Malformed) };
    let mut body = Vec::new();
    write(&mut body, ENUMERATED, &[code]);
    write(&mut body, OCTETS, String::from_utf8_lossy(name).as_bytes());
    write(&mut body, OCTETS, String::from_utf8_lossy(text).as_bytes());
    Ok((code, body))
}

/// An entry's name, without attributes.
fn entry(content: &[u8]) -> Result<Vec<u8>, BadAnswer> {
    let (name, rest) = expect(OCTETS, content)?;
    expect(SEQUENCE, rest)?;
    std::str::from_utf8(name).map_err(|_| Malformed)?;
    let mut body = Vec::new();
    write(&mut body, OCTETS, name);
    write(&mut body, SEQUENCE, &[]);
    Ok(body)
}

fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            out.push(0x84);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::Asked::{Bind, Search, StartTls};
    use super::*;
    use proptest::prelude::*;

    fn of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, tag, &parts.concat());
        out
    }

    fn bind_response(code: u8, more: &[u8]) -> Vec<u8> {
        let body =
            [&of(ENUMERATED, &[&[code]])[..], &of(OCTETS, &[]), &of(OCTETS, &[b"text"]), more].concat();
        of(SEQUENCE, &[&of(INTEGER, &[&[1]]), &of(BIND_RESPONSE, &[&body])])
    }

    fn let_through(bytes: &[u8]) -> Result<Vec<Answer>, BadAnswer> {
        let mut gate = Gate::new(&[Bind, Search]);
        gate.receive(bytes)?;
        std::iter::from_fn(|| gate.next_answer().transpose()).collect()
    }

    #[test]
    fn a_result_comes_through_cut_anywhere_and_without_what_nobody_asked_for() {
        let plain = bind_response(49, &[]);
        let referral = of(0xa3, &[&of(OCTETS, &[b"ldap://evil/"])]);
        let controls = of(0xa0, &[&of(SEQUENCE, &[&of(OCTETS, &[b"2.16.840.1.113730.3.4.4"])])]);
        let message = bind_response(49, &referral);
        let inside = &message[2..];
        let with_controls = of(SEQUENCE, &[inside, &controls]);
        for bytes in [plain.clone(), message.clone(), with_controls] {
            let mut gate = Gate::new(&[Bind]);
            for byte in &bytes[..bytes.len() - 1] {
                gate.receive(&[*byte]).unwrap();
                assert_eq!(gate.next_answer(), Ok(None));
            }
            gate.receive(&bytes[bytes.len() - 1..]).unwrap();
            let answer = gate.next_answer().unwrap().unwrap();
            assert_eq!((answer.code, answer.bytes), (49, plain.clone()));
            assert!(gate.is_empty());
        }
    }

    #[test]
    fn entries_lose_their_attributes_and_references_are_left_out() {
        let message = |operation: &[u8]| of(SEQUENCE, &[&of(INTEGER, &[&[2]]), operation]);
        let attribute = of(SEQUENCE, &[&of(OCTETS, &[b"cn"]), &of(0x31, &[&of(OCTETS, &[b"x"])])]);
        let entry = of(SEARCH_ENTRY, &[&of(OCTETS, &[b"cn=x"]), &of(SEQUENCE, &[&attribute])]);
        let bare = of(SEARCH_ENTRY, &[&of(OCTETS, &[b"cn=x"]), &of(SEQUENCE, &[])]);
        let reference = of(SEARCH_REFERENCE, &[&of(OCTETS, &[b"ldap://evil/"])]);
        let answers = let_through(&[message(&reference), message(&entry)].concat()).unwrap();
        assert_eq!(answers, [Answer { code: 0, bytes: message(&bare) }]);
    }

    #[test]
    fn what_is_out_of_place_ends_the_conversation() {
        let deep = (0..200).fold(Vec::new(), |inside, _| of(SEQUENCE, &[&inside]));
        let id = of(INTEGER, &[&[1]]);
        let long = vec![b'x'; limits::LDAP_MESSAGE_BYTES_MAX + 1];
        let second = of(INTEGER, &[&[2]]);
        let name = of(SEARCH_ENTRY, &[&of(OCTETS, &[b"\xff"]), &of(SEQUENCE, &[])]);
        for (bytes, why) in [
            (b"HTTP/1.1 400".to_vec(), Malformed),
            (vec![SEQUENCE, 0x80], Malformed),
            (vec![SEQUENCE, 0x85, 0, 0, 0, 0, 1], Malformed),
            (vec![SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], TooMuch),
            (vec![0x3f], Malformed),
            (of(SEQUENCE, &[&[0x3f, 0]]), Malformed),
            (of(SEQUENCE, &[]), Malformed),
            (of(SEQUENCE, &[&id]), Malformed),
            (of(SEQUENCE, &[&id, &of(0x60, &[])]), Malformed),
            (of(SEQUENCE, &[&id, &of(BIND_RESPONSE, &[])]), Malformed),
            (of(SEQUENCE, &[&id, &of(BIND_RESPONSE, &[&[OCTETS, 9]])]), Malformed),
            (of(SEQUENCE, &[&id, &of(BIND_RESPONSE, &[&deep])]), TooMuch),
            (of(SEQUENCE, &[&second, &name]), Malformed),
            (of(SEQUENCE, &[&of(INTEGER, &[&[0x80]]), &of(BIND_RESPONSE, &[])]), Malformed),
            (of(SEQUENCE, &[&of(INTEGER, &[&[0]]), &of(EXTENDED_RESPONSE, &[])]), Disconnection),
            (of(SEQUENCE, &[&long]), TooMuch),
        ] {
            assert_eq!(let_through(&bytes), Err(why), "{bytes:02x?}");
        }
    }

    #[test]
    fn an_answer_to_another_kind_of_question_is_none() {
        let done = [of(ENUMERATED, &[&[0]]), of(OCTETS, &[]), of(OCTETS, &[])].concat();
        let entry = [of(OCTETS, &[b"cn=x"]), of(SEQUENCE, &[])].concat();
        let answers = [(BIND_RESPONSE, &done), (SEARCH_DONE, &done), (EXTENDED_RESPONSE, &done)];
        for (tag, body) in answers.into_iter().chain([(SEARCH_ENTRY, &entry)]) {
            for (number, question) in [(1, Bind), (2, Search), (3, StartTls), (4, Bind), (0x0101, Bind)] {
                let id =
                    if number < 0x80 { vec![number as u8] } else { (number as u16).to_be_bytes().into() };
                let mut gate = Gate::new(&[Bind, Search, StartTls]);
                gate.receive(&of(SEQUENCE, &[&of(INTEGER, &[&id]), &of(tag, &[body])])).unwrap();
                let is_let_through = gate.next_answer().is_ok_and(|answer| answer.is_some());
                assert_eq!(is_let_through, number < 4 && question.is_answered_by(tag), "{tag:x} {number}");
            }
        }
    }

    #[test]
    fn a_server_that_talks_without_end_is_cut_off() {
        let reference = of(SEARCH_REFERENCE, &[&of(OCTETS, &[&[b'x'; 1_000]])]);
        let message = of(SEQUENCE, &[&of(INTEGER, &[&[2]]), &reference]);
        let mut gate = Gate::new(&[Bind, Search]);
        let most = limits::LDAP_ANSWERS_BYTES_MAX / message.len();
        for _ in 0..most {
            gate.receive(&message).unwrap();
            assert_eq!(gate.next_answer(), Ok(None));
        }
        assert_eq!(gate.receive(&message), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = let_through(&bytes);
            let _ = let_through(&of(SEQUENCE, &[&of(INTEGER, &[&[1]]), &bytes]));
        }

        #[test]
        fn what_is_let_through_is_let_through_again(code in any::<u8>(), text in ".{0,300}") {
            let body = [of(ENUMERATED, &[&[code]]), of(OCTETS, &[]), of(OCTETS, &[text.as_bytes()])].concat();
            let message = of(SEQUENCE, &[&of(INTEGER, &[&[2]]), &of(SEARCH_DONE, &[&body])]);
            let answers = let_through(&message).unwrap();
            prop_assert_eq!(let_through(&answers[0].bytes).unwrap(), answers);
        }
    }
}

//! The context of the request for which a client works: what holds for its session, what its present
//! transaction says beside it, and the statements and portals that set one when they are executed.
//!
//! Pure; there is none where no setting lists a key. What a client has sent is noted in its order and counts
//! when the server has answered it: what fails or is passed over sets nothing.

use crate::audit::Pairs;
use crate::base::limits;
use crate::wire::request_context::{ContextKeys, RequestContext, SetContext};
use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What executing a statement does to the context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct ContextChange {
    session: SessionChange,
    /// Of the transaction, beside what that has said before.
    transaction: RequestContext,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum SessionChange {
    #[default]
    None,
    To(RequestContext),
    /// As the login had it.
    Back,
}

impl ContextChange {
    /// All of these, one after the other.
    pub(in crate::core) fn of<'s>(
        keys: &ContextKeys,
        sets: impl IntoIterator<Item = &'s SetContext>,
    ) -> Self {
        let mut change = Self::default();
        for set in sets {
            match set {
                SetContext::Session(pairs) => {
                    let mut session = RequestContext::default();
                    session.take_pairs(keys, pairs);
                    change.session = SessionChange::To(session);
                }
                SetContext::Local(pairs) => change.transaction.take_pairs(keys, pairs),
                SetContext::Default | SetContext::Reset => change.session = SessionChange::Back,
            }
        }
        change
    }

    /// Bytes that it takes, about.
    pub(in crate::core) fn bytes(&self) -> usize {
        let session = match &self.session {
            SessionChange::To(session) => session.bytes(),
            SessionChange::None | SessionChange::Back => 0,
        };
        size_of::<Self>() + session + self.transaction.bytes()
    }
}

/// What a client has sent that has to do with its context.
#[derive(Debug)]
pub(in crate::core) enum ContextNote {
    /// A statement gets this name, or the name is free; with `None` it is another one's.
    Statement(Box<[u8]>, Option<Arc<ContextChange>>),
    /// A portal.
    Portal(Box<[u8]>, Option<Arc<ContextChange>>),
    /// It is executed.
    Run(Arc<ContextChange>),
}

impl ContextNote {
    fn bytes(&self) -> usize {
        match self {
            Self::Statement(name, Some(change)) | Self::Portal(name, Some(change)) => {
                entry_bytes(name, change)
            }
            Self::Statement(name, None) | Self::Portal(name, None) => size_of::<Self>() + name.len(),
            Self::Run(change) => size_of::<Self>() + change.bytes(),
        }
    }
}

/// Names with what executing them does, where that is anything.
type Names = HashMap<Box<[u8]>, Arc<ContextChange>>;

/// Bytes of a name in a table and of what it stands for, as if nothing else stood for that.
fn entry_bytes(name: &[u8], change: &ContextChange) -> usize {
    2 * size_of::<(Box<[u8]>, Arc<ContextChange>)>() + name.len() + change.bytes()
}

/// One client's context.
#[derive(Debug, Default)]
pub(in crate::core) struct ClientContext {
    /// As its login had it.
    login: RequestContext,
    session: RequestContext,
    /// Of the present transaction, or of the last one.
    transaction: RequestContext,
    /// As records have it: made for the first of them since something changed.
    pairs: OnceCell<Option<Pairs>>,
    /// Statements that are no server's to share.
    statements: Names,
    /// Of the present transaction.
    portals: Names,
    /// Not answered yet.
    noted: VecDeque<ContextNote>,
    /// Of the three above.
    bytes: usize,
    /// A statement was prepared that sets the context.
    prepares: bool,
}

impl ClientContext {
    /// Of a client that has said so much at its login.
    pub(in crate::core) fn new(login: RequestContext) -> Self {
        Self { session: login.clone(), login, ..Self::default() }
    }

    /// A transaction begins.
    pub(in crate::core) fn begin(&mut self) {
        if !self.transaction.is_empty() {
            self.transaction.clear();
            self.pairs.take();
        }
        for (name, change) in self.portals.drain() {
            self.bytes -= entry_bytes(&name, &change);
        }
    }

    /// What the client has said is done, or answered.
    pub(in crate::core) fn change(&mut self, change: &ContextChange) {
        self.pairs.take();
        match &change.session {
            SessionChange::None => {}
            SessionChange::To(session) => self.session.clone_from(session),
            SessionChange::Back => self.session.clone_from(&self.login),
        }
        self.transaction.take_all(&change.transaction);
    }

    /// A statement of the transaction has come, or its front.
    pub(in crate::core) fn take_comments(&mut self, keys: &ContextKeys, sql: &[u8], is_whole: bool) {
        self.transaction.take_comments(keys, sql, is_whole);
        if !self.transaction.is_empty() {
            self.pairs.take();
        }
    }

    /// Keys and values: those of the transaction go before those of the session.
    pub(in crate::core) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_session = self.session.iter().filter(|(key, _)| self.transaction.value(key).is_none());
        self.transaction.iter().chain(of_session)
    }

    /// The same for records, shared by those between two changes; `None`: there is nothing.
    pub(in crate::core) fn pairs(&self) -> Option<Pairs> {
        let made = || {
            let pairs: Pairs = self.iter().map(|(key, value)| (key.into(), value.into())).collect();
            (!pairs.is_empty()).then_some(pairs)
        };
        self.pairs.get_or_init(made).clone()
    }

    /// What executing the statement of that name does, once all is answered that was sent before.
    pub(in crate::core) fn statement(&self, name: &[u8]) -> Option<Arc<ContextChange>> {
        let noted = self.noted.iter().rev().find_map(|note| match note {
            ContextNote::Statement(noted, change) if **noted == *name => Some(change.clone()),
            _ => None,
        });
        noted.unwrap_or_else(|| self.statements.get(name).cloned())
    }

    /// What executing that portal does, once all is answered that was sent before.
    pub(in crate::core) fn portal(&self, name: &[u8]) -> Option<Arc<ContextChange>> {
        let noted = self.noted.iter().rev().find_map(|note| match note {
            ContextNote::Portal(noted, change) if **noted == *name => Some(change.clone()),
            _ => None,
        });
        noted.unwrap_or_else(|| self.portals.get(name).cloned())
    }

    /// Whether a statement was ever prepared that sets the context: names have to be looked at.
    #[inline]
    pub(in crate::core) fn prepares(&self) -> bool {
        self.prepares
    }

    /// Such a one is.
    pub(in crate::core) fn prepares_some(&mut self) {
        self.prepares = true;
    }

    /// Whether so much is noted that more has to wait for answers.
    pub(in crate::core) fn is_full(&self) -> bool {
        self.noted.len() >= limits::CONTEXT_NOTES_MAX
    }

    /// Bytes of all that is noted and named.
    pub(in crate::core) fn bytes(&self) -> usize {
        self.bytes
    }

    /// This was sent, and its answer is owed.
    pub(in crate::core) fn note(&mut self, note: ContextNote) {
        self.bytes += note.bytes();
        self.prepares |= matches!(note, ContextNote::Statement(..));
        self.noted.push_back(note);
    }

    /// What was noted first is answered.
    pub(in crate::core) fn answered(&mut self) {
        let Some(note) = self.noted.pop_front() else { return };
        self.bytes -= note.bytes();
        match note {
            ContextNote::Statement(name, change) => {
                name_it(&mut self.statements, &mut self.bytes, name, change)
            }
            ContextNote::Portal(name, change) => name_it(&mut self.portals, &mut self.bytes, name, change),
            ContextNote::Run(change) => self.change(&change),
        }
    }

    /// So many that were noted first have failed, or were passed over.
    pub(in crate::core) fn failed(&mut self, count: usize) {
        for note in self.noted.drain(..count.min(self.noted.len())) {
            self.bytes -= note.bytes();
        }
    }

    /// The session has forgotten its statements.
    pub(in crate::core) fn forget_statements(&mut self) {
        for (name, change) in self.statements.drain() {
            self.bytes -= entry_bytes(&name, &change);
        }
    }
}

fn name_it(names: &mut Names, bytes: &mut usize, name: Box<[u8]>, change: Option<Arc<ContextChange>>) {
    if let Some((name, before)) = names.remove_entry(&name) {
        *bytes -= entry_bytes(&name, &before);
    }
    if let Some(change) = change {
        *bytes += entry_bytes(&name, &change);
        names.insert(name, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_share_what_is_known_until_it_changes() {
        let keys = ContextKeys::read("a, b").unwrap().unwrap();
        let set = |set: SetContext| ContextChange::of(&keys, [&set]);
        let mut context = ClientContext::default();
        assert_eq!(context.pairs(), None);
        context.change(&set(SetContext::Session("a=1".into())));
        context.begin();
        let first = context.pairs().unwrap();
        context.take_comments(&keys, b"select 1", true);
        context.begin();
        assert!(Arc::ptr_eq(&first, &context.pairs().unwrap()), "nothing has changed");
        context.take_comments(&keys, b"select 2 /*b='2'*/", true);
        let of_two: Vec<_> = context.pairs().unwrap().iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(of_two, ["b", "a"]);
        context.begin();
        assert_eq!(context.pairs(), Some(first));
        context.change(&set(SetContext::Reset));
        assert_eq!(context.pairs(), None);
    }
}

//! The context of the request for which a client works: what holds for its session, and what the comments of
//! its present transaction say beside it. Pure; there is none where no setting lists a key.

use crate::audit::Pairs;
use crate::wire::request_context::{ContextKeys, RequestContext, SetContext};
use std::cell::OnceCell;

/// One client's context.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct ClientContext {
    /// As its login had it.
    login: RequestContext,
    session: RequestContext,
    /// Of the present transaction, or of the last one.
    transaction: RequestContext,
    /// As records have it: made for the first of them since something changed.
    pairs: OnceCell<Option<Pairs>>,
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
    }

    /// The client has said so.
    pub(in crate::core) fn set(&mut self, keys: &ContextKeys, set: &SetContext) {
        self.pairs.take();
        match set {
            SetContext::Session(pairs) => {
                self.session.clear();
                self.session.take_pairs(keys, pairs);
            }
            SetContext::Local(pairs) => self.transaction.take_pairs(keys, pairs),
            SetContext::Reset => self.session = self.login.clone(),
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn records_share_what_is_known_until_it_changes() {
        let keys = ContextKeys::read("a, b").unwrap().unwrap();
        let mut context = ClientContext::default();
        assert_eq!(context.pairs(), None);
        context.set(&keys, &SetContext::Session("a=1".into()));
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
        context.set(&keys, &SetContext::Reset);
        assert_eq!(context.pairs(), None);
    }
}

//! The context of the request for which a client works: what holds for its session, and what the comments of
//! its present transaction say beside it. Pure; there is none where no setting lists a key.

use crate::wire::request_context::{ContextKeys, RequestContext, SetContext};

/// One client's context.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct ClientContext {
    /// As its login had it.
    login: RequestContext,
    session: RequestContext,
    /// Of the present transaction, or of the last one.
    transaction: RequestContext,
}

impl ClientContext {
    /// Of a client that has said so much at its login.
    pub(in crate::core) fn new(login: RequestContext) -> Self {
        Self { session: login.clone(), login, transaction: RequestContext::default() }
    }

    /// A transaction begins.
    pub(in crate::core) fn begin(&mut self) {
        self.transaction.clear();
    }

    /// The client has said so.
    pub(in crate::core) fn set(&mut self, keys: &ContextKeys, set: &SetContext) {
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
    }

    /// Keys and values: those of the transaction go before those of the session.
    pub(in crate::core) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_session = self.session.iter().filter(|(key, _)| self.transaction.value(key).is_none());
        self.transaction.iter().chain(of_session)
    }
}

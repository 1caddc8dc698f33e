//! The name under which servers know a client, by `application_name_template`, beside the one that it gives
//! itself. Pure.
//!
//! A server is told the shown name whenever the client is lent it; the client is told its own. What it sets
//! itself counts from the next link on (in session pooling from the end of the transaction on).

use crate::config::NameFrame;
use std::sync::Arc;

/// A client's two names.
#[derive(Clone, Debug)]
pub struct ShownName {
    frame: NameFrame,
    /// Of `application_name` among the tracked parameters.
    position: usize,
    now: Names,
    /// What its present server was told.
    told: Names,
    /// It is to be told, in front of what the client says next.
    pub(in crate::core) is_due: bool,
}

#[derive(Clone, Debug)]
struct Names {
    own: Arc<str>,
    shown: Arc<str>,
}

impl ShownName {
    /// Of a client that calls itself `own`; `position` is that of `application_name`.
    pub fn new(frame: NameFrame, position: usize, own: Arc<str>) -> Self {
        let now = Names { shown: frame.around(&own).into(), own };
        Self { frame, position, told: now.clone(), now, is_due: false }
    }

    /// Of `application_name` among the tracked parameters.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What servers are told.
    pub fn shown(&self) -> &Arc<str> {
        &self.now.shown
    }

    /// What the client calls itself.
    pub fn own(&self) -> &Arc<str> {
        &self.now.own
    }

    /// Its server is told its name now.
    pub(in crate::core) fn is_told(&mut self) {
        self.told = self.now.clone();
        self.is_due = false;
    }

    /// The client's session has this `application_name` from now on: one that the client has given itself,
    /// or, where that was taken back, the one that its server was told.
    pub(in crate::core) fn becomes(&mut self, value: &str) {
        self.now = if *self.told.shown == *value {
            self.told.clone()
        } else {
            Names { own: value.into(), shown: self.frame.around(value).into() }
        };
    }
}

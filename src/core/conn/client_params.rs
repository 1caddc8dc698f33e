//! A client's session parameters: its own where it has set them, else those of the server that it is lent.
//!
//! So what `ALTER DATABASE … SET` or `ALTER ROLE … SET` changes holds for clients that are there, too, as
//! soon as they are lent a server that has logged in since. Pure.

use crate::wire::{ParamMask, ParamSet};
use std::sync::Arc;

/// A client's values.
#[derive(Clone, Debug)]
pub(in crate::core) struct ClientParams {
    /// Its own, and of the server lent last where it has none.
    pub values: ParamSet,
    /// Those of its StartupMessage: its own for good.
    asked: ParamMask,
    /// Those set since, until they are set back to what its server has of its own.
    set: ParamMask,
}

impl ClientParams {
    /// As its login has it.
    pub(crate) fn new(values: ParamSet, asked: ParamMask) -> Self {
        Self { values, asked, set: ParamMask::default() }
    }

    fn owns(&self, position: usize) -> bool {
        self.asked.has(position) || self.set.has(position)
    }

    /// What its session is to have on a server whose own values are these.
    pub(super) fn wanted<'a>(&'a self, position: usize, servers_own: &'a ParamSet) -> Option<&'a Arc<str>> {
        let last = self.values.value(position);
        if self.owns(position) { last } else { servers_own.value(position).or(last) }
    }

    /// A value that it does not know of: the server's own is another than that of the server lent last.
    pub(super) fn take_news(&mut self, position: usize, servers_own: &ParamSet) -> Option<Arc<str>> {
        let (own, last) = (servers_own.value(position)?, self.values.value(position)?);
        if own == last || self.owns(position) {
            return None;
        }
        let news = Arc::clone(own);
        self.values = self.values.with(position, Arc::clone(&news));
        Some(news)
    }

    /// Its session's value has changed while it was served: `before` and `after` are the server's.
    pub(in crate::core) fn changed(
        &mut self,
        position: usize,
        before: &ParamSet,
        after: &ParamSet,
        servers_own: &ParamSet,
    ) {
        let Some(value) = after.value(position) else { return };
        let is_set_back = servers_own.value(position) == Some(value);
        self.set = if is_set_back { self.set.without(position) } else { self.set.with(position) };
        self.values = if self.values.same(before) {
            after.clone()
        } else {
            self.values.with(position, Arc::clone(value))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TrackedNames;

    fn zone(value: &str) -> ParamSet {
        TrackedNames::new([]).empty_set().with(2, value)
    }

    fn wanted(client: &ClientParams, servers_own: &str) -> String {
        client.wanted(2, &zone(servers_own)).expect("a value").to_string()
    }

    #[test]
    fn what_a_client_has_not_set_is_its_servers() {
        let mut client = ClientParams::new(zone("UTC"), ParamMask::default());
        assert_eq!(wanted(&client, "CET"), "CET");
        assert_eq!(client.take_news(2, &zone("CET")).as_deref(), Some("CET"));
        assert_eq!(client.take_news(2, &zone("CET")), None, "told once");
        client.changed(2, &zone("CET"), &zone("EET"), &zone("CET"));
        assert_eq!((wanted(&client, "UTC"), client.take_news(2, &zone("UTC"))), ("EET".to_owned(), None));
        client.changed(2, &zone("EET"), &zone("CET"), &zone("CET"));
        assert_eq!(wanted(&client, "UTC"), "UTC", "RESET, or the end of SET LOCAL");
    }

    #[test]
    fn what_a_client_has_asked_for_is_its_own_for_good() {
        let mut client = ClientParams::new(zone("UTC"), ParamMask::default().with(2));
        for (before, after) in [("UTC", "EET"), ("EET", "UTC")] {
            client.changed(2, &zone(before), &zone(after), &zone("UTC"));
        }
        assert_eq!((wanted(&client, "CET"), client.take_news(2, &zone("CET"))), ("UTC".to_owned(), None));
    }
}

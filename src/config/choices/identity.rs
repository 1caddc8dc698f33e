//! What becomes of sessions whose client's identity has come to an end: words of settings.

use crate::config::choices::Choice;

/// What comes of a session whose client's token has expired (`identity_on_expired`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnExpired {
    /// It ends when it is in no transaction.
    #[default]
    Drain,
    /// The client is told, once.
    Notify,
    /// Nothing.
    Ignore,
}

impl Choice for OnExpired {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drain", Self::Drain), ("notify", Self::Notify), ("ignore", Self::Ignore)];
}

/// How a session ends whose principal would not be let in any more (`identity_on_denied`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDenied {
    /// When it is in no transaction.
    #[default]
    Drain,
    /// At once, its query cancelled.
    DropNow,
}

impl Choice for OnDenied {
    const WORDS: &'static [(&'static str, Self)] = &[("drain", Self::Drain), ("drop_now", Self::DropNow)];
}

/// Which sessions a reload judges anew by what has let them in (`identity_recheck`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Recheck {
    /// None, as PgBouncer and PostgreSQL do.
    #[default]
    Off,
    /// Every one.
    All,
}

impl Choice for Recheck {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("all", Self::All)];
}

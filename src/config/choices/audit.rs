//! The words of the audit log's settings.

use super::Choice;

/// Where the audit log goes (`audit_log`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditLog {
    /// Nowhere: nothing is recorded.
    #[default]
    Off,
    /// To `audit_file`.
    File,
    /// To the local syslog daemon.
    Syslog,
    /// To standard output.
    Stdout,
}

impl Choice for AuditLog {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("file", Self::File), ("syslog", Self::Syslog), ("stdout", Self::Stdout)];
}

/// What becomes of records that find no room (`audit_overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditOverflow {
    /// They are counted.
    #[default]
    Drop,
    /// Nothing new begins until there is room.
    Block,
}

impl Choice for AuditOverflow {
    const WORDS: &'static [(&'static str, Self)] = &[("drop", Self::Drop), ("block", Self::Block)];
}

/// What records tell of statements (`audit_statements`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditStatements {
    /// Nothing.
    #[default]
    None,
    /// Their fingerprints.
    Fingerprint,
    /// Their texts, too.
    Text,
}

impl Choice for AuditStatements {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("fingerprint", Self::Fingerprint), ("text", Self::Text)];
}

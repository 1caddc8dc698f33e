//! What can be wrong with hba and ident files, and what may be: one line each, with file and line,
//! PgBouncer's words where it has some.
//!
//! Source: PgBouncer, src/hba.c.

use crate::auth::jwt::JwtOptionsError;
use crate::auth::ldap::LdapOptionsError;
use crate::base::limits;
use crate::config::Place;
use std::fmt;
use std::sync::Arc;

/// Which of the two files is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Of rules.
    Hba,
    /// Of user name maps.
    Ident,
}

impl FileKind {
    /// How many lines such a file may have that are more than an `include`, and what they are called.
    pub(super) fn lines_max(self) -> (usize, &'static str) {
        match self {
            Self::Hba => (limits::HBA_RULES_MAX, "rules"),
            Self::Ident => (limits::IDENT_LINES_MAX, "lines of maps"),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hba => "hba",
            Self::Ident => "ident",
        })
    }
}

/// One thing that is wrong with a file; it refuses the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("auth_type=hba requires auth_hba_file")]
    NotNamed,
    /// There is nothing that says which directory.
    #[error("auth_type=ldap requires auth_ldap_options")]
    NoLdapOptions,
    /// The directory that `auth_type` asks.
    #[error("auth_ldap_options: {0}")]
    LdapOptions(LdapOptionsError),
    /// What handshakes with directories would go by.
    #[error("TLS setup failed: {0}")]
    LdapTls(String),
    /// The program was built without it.
    #[error("auth_type=pam is not in this build: it wants the feature pam")]
    NoPam,
    /// A token would be sent in clear.
    #[error("auth_type={0} needs TLS: with client_tls_sslmode=disable tokens would come in clear text")]
    TokenInClear(&'static str),
    /// Where requests of callers are shown.
    #[error("{0}")]
    Caller(String),
    /// Nothing says which roles callers may be.
    #[error("iam_caller needs iam_caller_map, or map= in its rule: no ARN is the name of a role")]
    NoCallerMap,
    /// Tokens of RDS are shown to nobody.
    #[error("rds_iam shows each client's token to its endpoint: allow that by client_iam_mode=pass_through")]
    NoClientIamMode,
    /// Nothing says which claims are good for which roles.
    #[error("iam_caller needs auth_claims_file")]
    NoClaimsFile,
    /// It has no such map.
    #[error("auth_claims_file has no map {0}")]
    UnknownClaimsMap(String),
    /// It cannot be read.
    #[error("could not open {kind} config file {file}: {why}")]
    Unreadable {
        /// Which file.
        kind: FileKind,
        /// Its name.
        file: Arc<str>,
        /// The system's words.
        why: String,
    },
    /// A line is wrong.
    #[error("could not parse {kind} config line ({place}): {wrong}")]
    Line {
        /// Which file.
        kind: FileKind,
        /// Which line of it, or of a file that it includes.
        place: Place,
        /// What is wrong.
        wrong: Wrong,
    },
}

impl FileError {
    /// Whether a setting that is not there may be all that is wrong.
    pub fn is_of_absence(&self) -> bool {
        let is_in_clear = matches!(
            self,
            Self::TokenInClear(_) | Self::Line { wrong: Wrong::TokenInClear { may_have_tls: true, .. }, .. }
        );
        is_in_clear || matches!(self, Self::NotNamed | Self::NoLdapOptions)
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum Wrong {
    #[error("quote is not closed")]
    QuoteNotClosed,
    #[error("text must be UTF-8")]
    NotUtf8,
    #[error("zero bytes are not allowed")]
    ZeroByte,
    #[error("unknown type")]
    UnknownType,
    #[error("a name is missing")]
    NoName,
    #[error("did not find address")]
    NoAddress,
    #[error("failed to parse address: {0}")]
    BadAddress(String),
    #[error("did not find mask")]
    NoMask,
    #[error("invalid mask: {0}")]
    BadMask(String),
    #[error("did not find method")]
    NoMethod,
    #[error("unsupported method: {0}")]
    UnsupportedMethod(String),
    #[error("{0}")]
    Ldap(LdapOptionsError),
    #[error("{0}")]
    Jwt(JwtOptionsError),
    #[error("[issuers] has no entry {0}")]
    NoSuchIssuer(String),
    #[error("auth_claims_file has no map {0}")]
    NoSuchClaimsMap(String),
    #[error("auth_claims_file is not set, which map {0} would stand in")]
    ClaimsMapWithoutFile(String),
    #[error(
        "tokens would come without TLS: {method} is for hostssl, local, or host where clients may have TLS"
    )]
    TokenInClear {
        method: &'static str,
        /// By other settings; by its own type it may not.
        may_have_tls: bool,
    },
    #[error("{0}; a reject that is left out would let in whom it keeps out")]
    RejectLeftOut(Unsupported),
    #[error("unsupported parameters")]
    Excess,
    #[error("names of one line must have commas between them")]
    NoComma,
    #[error("could not read {file}: {why}")]
    Unreadable { file: String, why: String },
    #[error("{place}: {wrong}")]
    Inside { place: Place, wrong: Box<Self> },
    #[error("files within files nest too deep: at most {levels} levels", levels = limits::HBA_DEPTH_MAX)]
    TooDeep,
    #[error("include_dir is not supported")]
    IncludeDir,
    #[error("too many {what}: at most {most}")]
    TooMany { what: &'static str, most: usize },
    #[error("the files are too long: at most {bytes} bytes in all", bytes = limits::HBA_BYTES_MAX)]
    TooLong,
    #[error("more errors follow, these are the first")]
    MoreErrors,
}

impl Wrong {
    /// Whether nothing more is read: all that follows would be beyond the bound, too.
    pub(super) fn is_the_end(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::TooLong | Self::MoreErrors => true,
            Self::Inside { wrong, .. } => wrong.is_the_end(),
            _ => false,
        }
    }
}

/// What PostgreSQL takes and the pooler does not, as PgBouncer: a rule that has it is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum Unsupported {
    #[error("{0}: groups of roles are not supported")]
    Group(String),
    #[error("{0}: host names, samehost and samenet are not supported")]
    HostName(String),
    #[error("{0}: there is no encryption by GSSAPI")]
    Gss(String),
    #[error("unsupported method: {0}")]
    Method(String),
    #[error("unsupported option: {0}")]
    Parameter(String),
    #[error("ident map {0} is not found in ident config file")]
    UnknownMap(String),
}

/// What has no effect in a file that is read all the same, or not the one that may be expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Bits of the address lie outside of the mask.
    #[error("address does not match mask in {place}: {address} / {mask}: the rule never fits")]
    NeverFits {
        /// Where.
        place: Place,
        /// The address.
        address: String,
        /// The mask.
        mask: String,
    },
    /// A rule that PostgreSQL would go by.
    #[error("hba config line ({place}) is left out: {why}")]
    LeftOut {
        /// Where.
        place: Place,
        /// What of it.
        why: Unsupported,
    },
    /// So many that the rest is not listed.
    #[error("more lines of hba and ident files may not be meant as they stand, these are the first")]
    More,
    /// A map with a method that asks for none.
    #[error("map={map} in {place} has no effect with this method")]
    IdleMap {
        /// Where.
        place: Place,
        /// The map.
        map: String,
    },
    /// Quotes, capitals, or another sign in its place, take a keyword's meaning.
    #[error("{name} in {place} is taken as a name, not as the keyword {keyword}")]
    NoKeyword {
        /// Where.
        place: Place,
        /// The word, as it is written.
        name: String,
        /// What it looks like.
        keyword: &'static str,
    },
    /// Who comes that way cannot show what is asked for.
    #[error("rule in {place} lets nobody in: who comes over {way} has no {what} to show")]
    Unmet {
        /// Where.
        place: Place,
        /// What is asked for.
        what: &'static str,
        /// How those come for whom the rule is.
        way: &'static str,
    },
    /// A rule in front that asks for less fits whomever it fits.
    #[error("rule in {place} is never reached: the one in {first} fits first and asks for less")]
    NeverReached {
        /// Where.
        place: Place,
        /// Where the other one is.
        first: Place,
    },
    /// A rule for TLS, and there is none.
    #[error("rule in {place} is for TLS connections, and client_tls_sslmode is disable")]
    NoTls {
        /// Where.
        place: Place,
    },
    /// Whoever answers passes for the directory.
    #[error("certificates of LDAP servers are not verified (TLS_REQCERT)")]
    UnverifiedLdap,
    /// It may have been caught while it was written.
    #[error("auth_hba_file has no rule: nobody is let in")]
    NoRules,
    /// An endpoint of tests'.
    #[error("iam_caller_endpoint is http: requests of callers go to it in clear, for tests only")]
    CallersInClear,
    /// libldap would go by it.
    #[error("{0} of ldap.conf has no effect")]
    LdapConf(&'static str),
    /// Certificates are asked for that no client is asked to show.
    #[error("rule in {place} takes certificates, and without TLS and client_tls_ca_file nobody shows one")]
    NoCertificates {
        /// Where.
        place: Place,
    },
    /// PostgreSQL would take the name for a regular expression or a group.
    #[error("{name} in {place} is taken as a name, not as a regular expression or a group")]
    PlainName {
        /// Where.
        place: Place,
        /// The name.
        name: String,
    },
}

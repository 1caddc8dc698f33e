//! The ways in which a client may have to prove who it is.
//!
//! One value for what `auth_type` and a rule of an hba file choose. Source: PgBouncer, doc/config.md
//! (`auth_type`, "HBA file format").

/// How a client has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all, and nobody asks whether there is such a user.
    Any,
    /// Not at all, but the user must be known.
    Trust,
    /// Nothing helps.
    Reject,
    /// By the password in clear text.
    Plain,
    /// By an MD5 challenge; by SCRAM where the stored secret is a SCRAM one.
    Md5,
    /// By SCRAM-SHA-256.
    ScramSha256,
    /// By a certificate shown in the TLS handshake.
    Cert,
    /// By the account of the process at the other end of a Unix socket.
    Peer,
}

impl Method {
    /// The method of an hba rule that has this word.
    pub fn of_rule(word: &str) -> Option<Self> {
        Some(match word {
            "trust" => Self::Trust,
            "reject" => Self::Reject,
            "password" => Self::Plain,
            "md5" => Self::Md5,
            "scram-sha-256" => Self::ScramSha256,
            "cert" => Self::Cert,
            "peer" => Self::Peer,
            _ => return None,
        })
    }

    /// Whether a user name map tells which users a name is good for.
    pub fn takes_map(self) -> bool {
        matches!(self, Self::Cert | Self::Peer)
    }
}

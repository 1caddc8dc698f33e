//! The ways in which a client may have to prove who it is.
//!
//! One value for what `auth_type` and a rule of an hba file choose. Source: PgBouncer, doc/config.md
//! (`auth_type`, "HBA file format").

use crate::config::AuthType;

/// How a client has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all, and nobody asks whether there is such a user.
    Any,
    /// Not at all, but the user must be known.
    Trust,
    /// Nothing helps.
    Reject,
    /// By the answer to a question.
    Asked(Question),
    /// By a certificate shown in the TLS handshake.
    Cert,
    /// By the account of the process at the other end of a Unix socket.
    Peer,
    /// By a token that an issuer has signed.
    Jwt,
    /// By a password that a directory takes.
    Ldap,
    /// By a password that PAM takes; no rule has it.
    Pam,
    /// By a presigned request that AWS STS answers with who has signed it.
    IamCaller,
    /// By a token of RDS that the endpoint of the client's database takes.
    RdsIam,
}

/// What a client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The password in clear text.
    Plain,
    /// An MD5 challenge; SCRAM where the stored secret is a SCRAM one.
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Any,
        Self::Trust,
        Self::Reject,
        Self::Asked(Question::Plain),
        Self::Asked(Question::Md5),
        Self::Asked(Question::ScramSha256),
        Self::Cert,
        Self::Peer,
        Self::Jwt,
        Self::Ldap,
        Self::Pam,
        Self::IamCaller,
        Self::RdsIam,
    ];

    /// The method that `auth_type` itself names; `None`: a rule of the hba file does.
    pub fn of_setting(setting: AuthType) -> Option<Self> {
        Some(match setting {
            AuthType::Any => Self::Any,
            AuthType::Trust => Self::Trust,
            AuthType::Plain => Self::Asked(Question::Plain),
            AuthType::Md5 => Self::Asked(Question::Md5),
            AuthType::ScramSha256 => Self::Asked(Question::ScramSha256),
            AuthType::Cert => Self::Cert,
            AuthType::Peer => Self::Peer,
            AuthType::Jwt => Self::Jwt,
            AuthType::Ldap => Self::Ldap,
            AuthType::Pam => Self::Pam,
            AuthType::IamCaller => Self::IamCaller,
            AuthType::RdsIam => Self::RdsIam,
            AuthType::Hba => return None,
        })
    }

    /// The method of an hba rule that has this word.
    pub fn of_rule(word: &str) -> Option<Self> {
        Some(match word {
            "trust" => Self::Trust,
            "reject" => Self::Reject,
            "password" => Self::Asked(Question::Plain),
            "md5" => Self::Asked(Question::Md5),
            "scram-sha-256" => Self::Asked(Question::ScramSha256),
            "cert" => Self::Cert,
            "peer" => Self::Peer,
            "jwt" => Self::Jwt,
            "ldap" => Self::Ldap,
            "iam_caller" => Self::IamCaller,
            "rds_iam" => Self::RdsIam,
            _ => return None,
        })
    }

    /// Its word of `auth_type` and of rules.
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Trust => "trust",
            Self::Reject => "reject",
            Self::Asked(Question::Plain) => "plain",
            Self::Asked(Question::Md5) => "md5",
            Self::Asked(Question::ScramSha256) => "scram-sha-256",
            Self::Cert => "cert",
            Self::Peer => "peer",
            Self::Jwt => "jwt",
            Self::Ldap => "ldap",
            Self::Pam => "pam",
            Self::IamCaller => "iam_caller",
            Self::RdsIam => "rds_iam",
        }
    }

    /// The word that proofs by a method have (SHOW SESSIONS), where `word` is that, or what hba files call
    /// the method: `plain` for `password`. Else `word` itself.
    pub fn word_of_proofs(word: &str) -> &str {
        Self::of_rule(word).map_or(word, |method| method.word())
    }

    /// Whether the client sends a token in clear, which must not be seen on the way.
    pub fn shows_token(self) -> bool {
        matches!(self, Self::Jwt | Self::IamCaller | Self::RdsIam)
    }

    /// Whether a user name map tells which users a name is good for.
    pub fn takes_map(self) -> bool {
        matches!(self, Self::Cert | Self::Peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_a_word_of_its_own_and_none_is_left_out() {
        let words: Vec<_> = Method::ALL.iter().map(|method| method.word()).collect();
        let rules = ["trust", "reject", "password", "md5", "scram-sha-256", "cert", "peer", "jwt", "ldap"];
        let of_rules = rules.iter().chain(&["iam_caller", "rds_iam"]).map(|word| Method::of_rule(word));
        let of_settings = [AuthType::Any, AuthType::Plain, AuthType::Pam].map(Method::of_setting);
        for method in of_rules.chain(of_settings) {
            let word = method.map(Method::word);
            assert_eq!(words.iter().filter(|each| Some(**each) == word).count(), 1, "{method:?}");
        }
        for word in rules.iter().chain(&words) {
            assert!(words.contains(&Method::word_of_proofs(word)), "{word}");
        }
        assert_eq!(["password", "idp"].map(Method::word_of_proofs), ["plain", "idp"]);
    }
}

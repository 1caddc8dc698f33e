//! What takes a token: Amazon RDS (and Aurora), or Aurora DSQL. The same signature over other words.
//!
//! Pure. Sources: Amazon RDS User Guide, "IAM database authentication"; Amazon Aurora DSQL User Guide,
//! "Generating an authentication token", "Accessing Aurora DSQL with PostgreSQL-compatible clients", "Cluster
//! quotas and database limits".

/// What takes the tokens of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Service {
    /// A role that is a member of `rds_iam`; the token is made for it, the host and the port.
    #[default]
    Rds,
    /// The token is made for the host, and for one of two actions: whose role it is, the cluster knows.
    Dsql,
}

/// The port of every cluster of Aurora DSQL.
pub(crate) const DSQL_PORT: u16 = 5432;

/// The largest `iam_max_age` with Aurora DSQL, in seconds: it ends a session after an hour, and a transaction
/// that begins before this takes five minutes at the most there.
pub(super) const DSQL_MAX_AGE_S_MOST: u64 = 3_300;

/// The role of Aurora DSQL that may do everything, which has an action of its own.
const DSQL_ADMIN: &str = "admin";

impl Service {
    /// Its name in the scope of a signature.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Self::Rds => "rds-db",
            Self::Dsql => "dsql",
        }
    }

    /// What an operator calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rds => "RDS",
            Self::Dsql => "Aurora DSQL",
        }
    }

    /// The action of Aurora DSQL that lets `user` in.
    pub(super) fn dsql_action(user: &str) -> &'static str {
        if user == DSQL_ADMIN { "DbConnectAdmin" } else { "DbConnect" }
    }
}

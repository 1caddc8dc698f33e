//! The classes of failures.

/// Why logins fail, in the classes that decide how to go on. The name is a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// This user may not log in so.
    Denied,
    /// Too many logins at a time.
    Throttled,
    /// Our clock and RDS's disagree.
    Clock,
    /// The credentials that sign are missing, expired, or about to be.
    Credentials,
    /// IAM or RDS failed.
    Service,
    /// No connection, or one that ended by itself.
    Unreachable,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Denied, Self::Throttled, Self::Clock, Self::Credentials, Self::Service, Self::Unreachable];

    /// The label of metrics and the word of SHOW IAM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Clock => "clock",
            Self::Credentials => "credentials",
            Self::Service => "service",
            Self::Unreachable => "unreachable",
        }
    }
}

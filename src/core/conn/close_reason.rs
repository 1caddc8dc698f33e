//! Why a client's or a server's connection ends: what the log says, who is told, and what it is counted as.
//!
//! The texts are PgBouncer's where it has the reason, too. Source: PgBouncer, src/janitor.c, src/server.c and
//! src/objects.c (`disconnect_server()`).

use crate::wire::Fault;
use std::borrow::Cow;

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a server's connection ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::core) enum CloseReason {
            $($(#[$doc])* $name,)*
        }

        impl CloseReason {
            /// What the log says: "closing because: …".
            pub(in crate::core) fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

close_reasons! {
    /// It has ended by itself, or said that it will.
    Crashed = "server conn crashed?",
    /// A session's rest that its login did not end with.
    NotReady = "server was not ready",
    /// Its client left in the middle of its work.
    ClientLeft = "client disconnect while server was not ready",
    /// Its place is that of another pool of its database, whose client has waited longer.
    EvictedForDatabase = "evicted for max_db_connections",
    /// The same, of another pool of its user.
    EvictedForUser = "evicted for max_user_connections",
    /// The same, of another pool at its server of PostgreSQL.
    EvictedForInstance = "evicted for max_server_connections",
    /// Its place is that of a replication client of its own pool.
    EvictedForPool = "evicted for pool_size",
    /// The replication client whose own it was has left.
    ReplicationOver = "replication client was closed",
    /// The database is paused.
    Paused = "pause mode",
    /// What was sent to it was not taken while SUSPEND waited.
    SuspendTimeout = "suspend_timeout",
    /// Its database entry is gone.
    DatabaseRemoved = "database removed",
    /// It was opened by an older configuration, or before RECONNECT.
    Reconfigured = "database configuration changed",
    /// The same, found as its client gives it back, or as it comes from its login.
    CloseNeeded = "close_needed",
    /// The same, found as it was to be lent.
    Obsolete = "obsolete connection",
    /// Its host has other addresses now.
    HostMoved = "host has moved",
    /// `server_lifetime`.
    LifetimeOver = "server lifetime over",
    /// `server_idle_timeout`.
    IdleTooLong = "server idle timeout",
    /// The pool was made smaller.
    OneTooMany = "too many servers in the pool",
    /// One with a younger authorization by IAM takes its place.
    Renewed = "authorization renewed",
    /// Its authorization by IAM is past its hard age.
    TooOld = "authorization too old",
    /// Its role is denied, and so it is dropped (`iam_on_denied = drop_now`).
    Denied = "authorization denied",
    /// `query_timeout`.
    QueryTimeout = "query timeout",
    /// `idle_transaction_timeout`.
    IdleTransactionTimeout = "idle transaction timeout",
    /// `transaction_timeout`.
    TransactionTimeout = "transaction timeout",
    /// `server_check_query` was answered by an error.
    CheckFailed = "test query failed",
    /// `server_reset_query` was answered by an error.
    ResetFailed = "reset query failed",
    /// What a cancel request did to it cannot be known.
    CancelInDoubt = "cancel request in doubt",
    /// A tracked parameter of its session has a value that cannot be read.
    ParamsInDoubt = "session parameters in doubt",
    /// Which prepared statements it has cannot be known.
    StatementsInDoubt = "prepared statements in doubt",
    /// It said what nobody had asked for.
    Unexpected = "unexpected message",
    /// Its messages cannot be told from one another any more, or one is longer than `max_packet_size`.
    BadHeader = "bad pkt header",
    /// One of its messages is not what its type says.
    BadPacket = "bad packet from server",
    /// It reported more of its parameters than is kept.
    ParamsTooLong = "parameters too long",
}

impl CloseReason {
    /// What its client, which is closed with it, is told.
    pub(in crate::core) fn fault(self) -> Fault {
        match self {
            Self::Crashed => Fault::ServerCrashed,
            reason => Fault::ServerClosed { reason: reason.text() },
        }
    }

    /// The same reason, where a server is closed as it is released: as PgBouncer words it then.
    pub(in crate::core) fn at_release(self) -> Self {
        if self == Self::Reconfigured { Self::CloseNeeded } else { self }
    }

    /// Whether it counts as a renewal (`renewed` of SHOW IAM) where the server was past its soft age.
    pub(in crate::core) fn is_renewal(self) -> bool {
        self == Self::Renewed
    }
}

/// Why a client leaves.
#[derive(Debug)]
pub(in crate::core) enum Leave {
    /// We end it, and it is told why.
    Fault(Fault),
    /// We end it in the middle of a message of its server: words of ours would become part of that message.
    Mute(Fault),
    /// Its connection has ended.
    Eof,
    /// It says goodbye.
    Goodbye,
}

impl Leave {
    /// Whether it ends because of who it is.
    pub(in crate::core) fn is_of_identity(&self) -> bool {
        matches!(self, Self::Fault(fault) | Self::Mute(fault) if fault.is_of_identity())
    }

    /// As the log says it.
    pub(in crate::core) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Fault(fault) | Self::Mute(fault) => fault.text(),
            Self::Eof => "client unexpected eof".into(),
            Self::Goodbye => "client close request".into(),
        }
    }
}

//! What a server owes for one message, and what becomes of an answer. Values only.

use super::statements::StatementId;

/// One answer that is owed for one message sent (or answered in the server's place).
#[derive(Clone, Copy, Debug)]
pub(in crate::core) enum Expect {
    /// ParseComplete for the client's Parse; the statement if it was registered on the server.
    Parse(Option<StatementId>),
    /// ParseComplete for a Parse that we sent: the client does not see it.
    ParseOurs(StatementId),
    /// The client's Parse was not sent, since the server has the statement: we answer.
    ParseFake(StatementId),
    /// BindComplete.
    Bind,
    /// RowDescription or NoData.
    Describe,
    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// CloseComplete.
    Close,
    /// CloseComplete for a statement that we evicted: the client does not see it.
    CloseOurs(StatementId),
    /// The client's Close is answered by us.
    CloseFake,
    /// ReadyForQuery for a Sync.
    Sync,
    /// All of a simple query, to its ReadyForQuery.
    Simple,
    /// The same of one that sets the client's context if nothing of it fails.
    SimpleSet,
    /// All of a function call, to its ReadyForQuery.
    Function,
    /// All that answers the client's name, which we have set, to its ReadyForQuery: the client sees nothing.
    Name,
    /// Not an answer: what is owed in front of it has to do with the client's context
    /// (`ClientContext::answered`).
    Noted,
    /// Not an answer: the place in the stream where the client ended its COPY data.
    CopyEnd,
    /// Nothing any more: what stood here was amid COPY data, or their end.
    Gone,
}

impl Expect {
    /// Whether a statement is still to be prepared or closed on the server.
    pub(super) fn changes_statements(self) -> bool {
        matches!(self, Self::Parse(Some(_)) | Self::ParseOurs(_) | Self::CloseOurs(_))
    }

    /// Whether it has to do with a statement that a server holds or a client has named.
    pub(super) fn names(self) -> bool {
        self.changes_statements() || matches!(self, Self::ParseFake(_))
    }

    /// Whether a ReadyForQuery ends what answers it, and the client sees that.
    #[inline]
    pub(super) fn is_ended_by_ready(self) -> bool {
        matches!(self, Self::Sync | Self::Simple | Self::SimpleSet | Self::Function)
    }

    /// Whether what it answers begins a transaction of a client's where there is none: neither what is the
    /// pooler's own, or was never sent, nor a Close.
    #[inline]
    pub(super) fn begins(self) -> bool {
        !matches!(
            self,
            Self::Name
                | Self::ParseOurs(_)
                | Self::CloseOurs(_)
                | Self::ParseFake(_)
                | Self::Close
                | Self::CloseFake
                | Self::Noted
                | Self::Gone
        )
    }

    /// Whether the client's context has a note that belongs to it.
    #[inline]
    pub(super) fn is_noted(self) -> bool {
        matches!(self, Self::Noted | Self::SimpleSet)
    }

    /// Whether a ParseComplete stands for it.
    pub(super) fn prepares(self) -> bool {
        matches!(self, Self::Parse(_) | Self::ParseOurs(_) | Self::ParseFake(_))
    }
}

/// What is to be done where a server says that its session has forgotten its statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Forgetting {
    /// It has not been asked to, or was heard to say so already.
    Nothing,
    /// None was named behind it.
    All,
    /// Some were named behind it: they stay.
    ButBehind,
    /// It has said so more often than anybody looks.
    TooOften,
}

/// What becomes of a server's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Fate {
    /// The client gets it.
    Forward,
    /// It answers a message of ours.
    Swallow,
}

/// What is to be done between two of a server's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Due {
    /// The client is sent an answer of this tag, which is ours.
    Answer(u8),
    /// What was noted first about the client's context is answered.
    Noted,
}

/// How a COPY from the client stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum CopyIn {
    /// None is running.
    #[default]
    No,
    /// The server takes CopyData; it ignores Sync and Flush meanwhile.
    Running,
    /// The server has failed it, but the client's CopyDone or CopyFail is still under way.
    Failed,
}

//! What old servers are worth while logins fail.

/// What becomes of a pool's servers as their authorizations grow old. The login plane knows whether a new
/// login would succeed and sets it; the core obeys, always between transactions. Servers without an
/// [`crate::core::login_handoff::Authorization`] are never touched. Except under [`Stance::Renew`] and
/// [`Stance::CatchUp`] no server is asked for on account of age, and none given up for `server_lifetime` or
/// `server_idle_timeout`: that logins work again is for the login plane to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stance {
    /// Logins work: at its soft age a server is replaced, at its hard age it is not lent any more.
    #[default]
    Renew,
    /// Logins are denied, or may be: nothing that works is given up before its hard age, then
    /// it is not lent any more.
    KeepToHardAge,
    /// Logins fail through no fault of the user: what works is not given up, lent on beyond
    /// its hard age, and counted.
    KeepOn,
    /// Logins work again: servers that were kept beyond their hard age are replaced one soon after the other,
    /// and lent on until their turn comes. The login plane ends it.
    CatchUp,
    /// Every server is closed as soon as it is between transactions. Workers see it at their next pass, or
    /// when told by [`crate::core::admin::Command::Sweep`].
    CloseNow,
}

impl Stance {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 5] =
        [Self::Renew, Self::KeepToHardAge, Self::KeepOn, Self::CatchUp, Self::CloseNow];

    /// Whether logins work, so that servers may be replaced.
    pub fn renews(self) -> bool {
        matches!(self, Self::Renew | Self::CatchUp)
    }

    /// Whether servers are lent beyond their hard age.
    pub fn extends(self) -> bool {
        matches!(self, Self::KeepOn | Self::CatchUp)
    }

    /// The word of SHOW IAM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::KeepToHardAge => "keep_to_hard_age",
            Self::KeepOn => "keep_on",
            Self::CatchUp => "catch_up",
            Self::CloseNow => "close_now",
        }
    }
}

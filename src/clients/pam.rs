//! Asking PAM whether a password is a user's, on a thread of its own: it blocks for as long as it likes.
//!
//! The service is `pgbouncer`, PAM_RHOST the client's address. A build without the feature `pam` refuses
//! `auth_type=pam` at load. Never opens a session, never changes credentials. Sources: PgBouncer,
//! doc/config.md (`auth_type`, pam); The Linux-PAM Application Developers' Guide, sections 3 and 4.

use crate::base::Password;
use std::sync::Arc;

/// Who wants to be let in.
#[cfg_attr(not(feature = "pam"), expect(dead_code, reason = "nobody is asked"))]
pub(super) struct Claim {
    /// The user's name.
    pub user: Arc<str>,
    /// Where the client is.
    pub host: String,
    /// What is said to be the user's password.
    pub password: Arc<Password>,
}

/// Why PAM has not let a user in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[cfg(feature = "pam")]
    #[error("PAM does not start: {0}")]
    Start(String),
    #[cfg(feature = "pam")]
    #[error("PAM does not take the password: {0}")]
    Password(String),
    #[cfg(feature = "pam")]
    #[error("PAM does not let the account in: {0}")]
    Account(String),
    #[cfg(not(feature = "pam"))]
    #[error("this build has no PAM")]
    NotBuilt,
}

#[cfg(not(feature = "pam"))]
impl Claim {
    /// Nobody is let in.
    ///
    /// # Errors
    /// Always.
    pub(super) fn prove(self) -> Result<(), Refusal> {
        Err(Refusal::NotBuilt)
    }
}

#[cfg(feature = "pam")]
mod linked {
    use super::{Claim, Refusal};
    use crate::base::Password;
    use nonstick::items::ItemsMut;
    use nonstick::{AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Transaction, TransactionBuilder};
    use std::ffi::{OsStr, OsString};
    use std::sync::Arc;

    /// The name by which PAM finds its rules: `/etc/pam.d/pgbouncer`.
    const SERVICE: &str = "pgbouncer";

    /// Answers what is asked for without an echo, and nothing else.
    struct Answers(Arc<Password>);

    impl ConversationAdapter for Answers {
        fn prompt(&self, _request: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
            Err(ErrorCode::ConversationError)
        }

        fn masked_prompt(&self, _request: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
            Ok(self.0.expose().into())
        }

        fn error_msg(&self, _message: impl AsRef<OsStr>) {}

        fn info_msg(&self, _message: impl AsRef<OsStr>) {}
    }

    impl Claim {
        /// Asks PAM. Blocks.
        ///
        /// # Errors
        /// Why the user is not let in.
        pub(in crate::clients) fn prove(self) -> Result<(), Refusal> {
            let answers = Answers(self.password).into_conversation();
            let begun = TransactionBuilder::new_with_service(SERVICE).username(&*self.user).build(answers);
            let mut transaction = begun.map_err(|why| Refusal::Start(why.to_string()))?;
            let named = transaction.items_mut().set_remote_host(Some(OsStr::new(&self.host)));
            named.map_err(|why| Refusal::Start(why.to_string()))?;
            let known = transaction.authenticate(AuthnFlags::empty());
            known.map_err(|why| Refusal::Password(why.to_string()))?;
            let may_enter = transaction.account_management(AuthnFlags::empty());
            may_enter.map_err(|why| Refusal::Account(why.to_string()))
        }
    }
}

//! How a login ends that has failed: what the client is told, and what the log says.
//!
//! Source: PgBouncer, src/client.c (log lines).

use super::{LoginAttempt, Stage};
use crate::base::log_about;
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::wire::Fault;

impl LoginAttempt {
    /// Its time is over: what it has waited for.
    pub(super) fn timed_out(&self) -> LoginEnd {
        match &self.stage {
            Stage::Proving => Fault::LoginTimeout.into(),
            Stage::WaitingForServer(pool) => {
                pool.wait_over("client_login_timeout", Fault::LoginTimeoutServerDown).into()
            }
        }
    }

    /// Ends a login that has failed.
    pub(super) async fn see_off(mut self, clients: &Clients, stream: ClientStream, end: LoginEnd) {
        // Who connects and says nothing only looks whether we are there.
        if stream.has_spoken() {
            self.wait_for_audit_room(clients).await;
            self.log_end(clients, &end);
        }
        // Whoever is told why counts again, also where he has proven himself: nothing else
        // bounds how many there are.
        self.login_slot.leave();
        let leaving = clients.unauthenticated.enter(&self.remote);
        drop(self);
        tokio::select! {
            () = Box::pin(take_leave(clients, stream, &end)) => {}
            () = leaving.cut_off() => {}
        }
    }

    pub(super) fn log_end(&self, clients: &Clients, end: &LoginEnd) {
        let policy = clients.plane.policy.load();
        let settings = &policy.snapshot.settings;
        let (reason, is_told) = match end {
            LoginEnd::Fault(fault) => (fault.text(), true),
            LoginEnd::Silent(reason) | LoginEnd::Handshake(reason) => (reason.as_str().into(), false),
            LoginEnd::Unsaid => return,
        };
        self.record_refusal(clients, &reason);
        let is_handshake = matches!(end, LoginEnd::Handshake(_));
        let is_logged = is_handshake
            || settings.log_disconnections
            || (is_told && settings.log_pooler_errors)
            || (settings.log_connections && is_about_the_client(end));
        // Asked last: what the settings leave out takes nothing of what others may write.
        if !is_logged || !self.may_log(clients) {
            if is_told && self.is_heard.get() == Some(&false) {
                clients.unauthenticated.unheard_is_refused();
            }
            return;
        }
        if is_handshake {
            log_about!(warn, self.about(), "{reason}");
        }
        if settings.log_disconnections {
            let age = clients.plane.now().since(self.arrived).as_secs();
            log_about!(info, self.about(), "closing because: {reason} (age={age}s)");
        }
        if is_told && settings.log_pooler_errors {
            log_about!(warn, self.about(), "pooler error: {reason}");
        }
        if settings.log_connections && is_about_the_client(end) {
            log_about!(info, self.about(), "login failed: db={} user={}", self.database, self.user);
        }
    }
}

/// Tells the client why it is refused, where it is told: then the log has it, too.
async fn take_leave(clients: &Clients, stream: ClientStream, end: &LoginEnd) {
    clients.plane.log.caught_up().await;
    match end {
        LoginEnd::Fault(fault) => stream.farewell(&fault.message()).await,
        LoginEnd::Silent(_) | LoginEnd::Handshake(_) | LoginEnd::Unsaid => stream.close().await,
    }
}

/// Whether a login ended because of who the client is, or is not.
fn is_about_the_client(end: &LoginEnd) -> bool {
    use Fault::{
        CallerFailed, CertificateFailed, JwtFailed, LdapFailed, LoginDenied, LoginRejected, NoMethod,
        NoSuchDatabase, NoSuchUser, PamFailed, PasswordWrong, PeerRejected, RdsTokenFailed, SaslFailed,
        TrustFailed,
    };
    let LoginEnd::Fault(fault) = end else { return false };
    let is_by_token = matches!(fault, CallerFailed | RdsTokenFailed);
    let is_unproven = matches!(
        fault,
        PasswordWrong
            | SaslFailed
            | TrustFailed
            | CertificateFailed
            | PeerRejected
            | LdapFailed
            | PamFailed
            | JwtFailed
    );
    is_by_token
        || is_unproven
        || matches!(fault, LoginDenied | LoginRejected | NoMethod | NoSuchUser | NoSuchDatabase { .. })
}

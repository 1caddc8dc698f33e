//! A server on its way from one worker to another.

use super::conn::Server;
use super::pool::PoolShare;
use std::sync::Arc;

/// A server on its way from one worker to another: everything but the socket.
#[derive(Debug)]
pub struct MovedServer(pub(in crate::core) Box<Server>, pub(super) Arc<PoolShare>);

#[cfg(test)]
impl MovedServer {
    /// A server of nobody's, for tests that only carry it.
    pub(crate) fn for_tests() -> Self {
        let text = "[databases]\ndb =\n[pgbouncer]\n";
        let snapshot = crate::config::Snapshot::load_with("x.ini", None, &|_| Ok(text.into())).unwrap();
        let rules = Arc::new(snapshot.pool_rules(&snapshot.database("db").unwrap(), "app"));
        let database = Arc::new(crate::core::pool::DatabaseShare::new("db".into(), Arc::default()));
        let pool = Arc::new(PoolShare::new(crate::base::PoolId(1), database, "app".into(), rules, 2));
        let identity = crate::core::login_handoff::ServerIdentity::for_tests(1);
        let login = crate::core::login_handoff::ServerLogin {
            identity: Arc::new(identity),
            pool: Arc::clone(&pool),
            params: crate::wire::TrackedNames::new([]).empty_set(),
            generation: 0,
            connected_at: crate::base::Micros(0),
            authorization: None,
        };
        Self(Box::new(Server::new(login, crate::core::pool::PoolSlot(0), crate::base::Micros(0))), pool)
    }
}

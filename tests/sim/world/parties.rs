//! Who the clients and servers of simulated worlds are.

use super::asked_for;
use pgweir::base::{Address, Micros};
use pgweir::config::ClientRules;
use pgweir::core::{CancelKey, ClientIdentity, ClientLogin, PoolShare, ServerIdentity};
use pgweir::wire::ParamSet;
use std::sync::Arc;

/// Who a server is that was logged in to as `user` of `database`, on a host of that name.
pub fn server_identity(
    socket_id: u64,
    [database, user]: [&str; 2],
    remote: Address,
    cancel_key: CancelKey,
) -> Arc<ServerIdentity> {
    Arc::new(ServerIdentity {
        socket_id,
        database: database.into(),
        user: user.into(),
        login_user: user.into(),
        remote,
        local: nowhere(),
        host: database.into(),
        endpoint: format!("{database}:5432").into(),
        tls: String::new(),
        connected_at_epoch_s: 0,
        replication: pgweir::wire::startup::Replication::No,
        cancel_key,
        credential: None,
    })
}

/// A client that has logged in as `user` to `database`.
pub fn client_login(
    socket_id: u64,
    [database, user]: [&str; 2],
    pool: &Arc<PoolShare>,
    params: ParamSet,
    rules: ClientRules,
) -> ClientLogin {
    let identity = ClientIdentity {
        socket_id,
        database: database.into(),
        user: user.into(),
        proof: pgweir::base::Proof::by("trust"),
        remote: nowhere(),
        local: nowhere(),
        tls: String::new(),
        connected_at_epoch_s: 0,
        replication: pgweir::wire::startup::Replication::No,
        internal: false,
    };
    ClientLogin {
        identity: Arc::new(identity),
        pool: Arc::clone(pool),
        asked: asked_for(&params),
        params,
        rules,
        shown_name: None,
        context: None,
        login_time: Micros(0),
        welcome: Box::default(),
    }
}

pub fn nowhere() -> Address {
    Address::Unix { port: 0, pid: 0, uid: 0 }
}

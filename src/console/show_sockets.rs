//! SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS: one row a connection, ordered by database, user and id.
//!
//! Source: PgBouncer, doc/usage.md (Show commands).

use super::rows::{Cell, Rows};
use super::tables::Shown;
use super::times::Moment;
use crate::base::{Address, Micros};
use crate::core::{ClientRow, ClientState, ServerRow, ServerState};

/// Which side a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// An application.
    Client,
    /// PostgreSQL.
    Server,
}

/// One connection, whoever keeps it.
#[derive(Clone, Debug)]
pub struct SocketView {
    /// Which side it is on.
    pub side: Side,
    /// Its database; `None` = not known yet.
    pub database: Option<String>,
    /// Its user; `None` = not known yet.
    pub user: Option<String>,
    /// Its state in CLIENTS or SERVERS.
    pub state: &'static str,
    /// Its state in SOCKETS, behind `cl_` or `sv_`.
    pub list: &'static str,
    /// Whether ACTIVE_SOCKETS has it.
    pub is_active: bool,
    /// Its own end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// Since when it is there, in seconds since the epoch.
    pub connected_at_epoch_s: u64,
    /// When its last query began; `None` = it has asked nothing yet.
    pub request_at: Option<Micros>,
    /// For how long it has waited; zero unless it waits.
    pub wait: Micros,
    /// To be closed when it comes free.
    pub close_needed: bool,
    /// Its number.
    pub id: u64,
    /// The number of the connection it is linked to.
    pub link: Option<u64>,
    /// Process id of the peer, 0 where unknown.
    pub remote_pid: u32,
    /// TLS version and cipher, empty without.
    pub tls: String,
    /// Its `application_name`.
    pub application_name: String,
    /// Prepared statements it has.
    pub prepared_statements: usize,
}

impl From<&ClientRow> for SocketView {
    fn from(row: &ClientRow) -> Self {
        let identity = &row.identity;
        let (state, list) = match row.state {
            ClientState::Active => ("active", "active"),
            ClientState::Idle => ("idle", "active"),
            ClientState::Waiting => ("waiting", "waiting"),
        };
        Self {
            side: Side::Client,
            database: Some(identity.database.to_string()),
            user: Some(identity.user.to_string()),
            state,
            list,
            is_active: row.state != ClientState::Idle,
            remote: identity.remote.clone(),
            local: identity.local.clone(),
            connected_at_epoch_s: identity.connected_at_epoch_s,
            request_at: (row.request_at > Micros(0)).then_some(row.request_at),
            wait: row.wait,
            close_needed: false,
            id: identity.socket_id,
            link: row.link,
            remote_pid: identity.remote.pid(),
            tls: identity.tls.clone(),
            application_name: row.application_name.to_string(),
            prepared_statements: row.prepared_statements,
        }
    }
}

impl From<&ServerRow> for SocketView {
    fn from(row: &ServerRow) -> Self {
        let identity = &row.identity;
        let (state, list) = match row.state {
            ServerState::Active => ("active", "active"),
            ServerState::Idle => ("idle", "idle"),
            ServerState::Used => ("used", "used"),
            ServerState::Tested => ("tested", "tested"),
            ServerState::BeingCanceled => ("being_canceled", "being_canceled"),
        };
        Self {
            side: Side::Server,
            database: Some(identity.database.to_string()),
            user: Some(identity.user.to_string()),
            state,
            list,
            is_active: !matches!(row.state, ServerState::Idle | ServerState::Used),
            remote: identity.remote.clone(),
            local: identity.local.clone(),
            connected_at_epoch_s: identity.connected_at_epoch_s,
            request_at: (row.request_at > Micros(0)).then_some(row.request_at),
            wait: Micros(0),
            close_needed: row.close_needed,
            id: identity.socket_id,
            link: row.link,
            remote_pid: identity.cancel_key.pid,
            tls: identity.tls.clone(),
            application_name: row.application_name.to_string(),
            prepared_statements: row.prepared_statements,
        }
    }
}

/// The rows of one of the four tables, by its columns.
pub fn rows(shown: &'static Shown, mut sockets: Vec<SocketView>, moment: &Moment) -> Rows {
    sockets.sort_by(|a, b| (a.side, &a.database, &a.user, a.id).cmp(&(b.side, &b.database, &b.user, b.id)));
    let mut rows = Rows::new(shown.columns);
    let with_buffers = shown.columns.iter().any(|column| column.name == "recv_pos");
    for socket in &sockets {
        push(&mut rows, socket, moment, with_buffers);
    }
    rows
}

fn push(rows: &mut Rows, socket: &SocketView, moment: &Moment, with_buffers: bool) {
    let connected_at = moment.text_of_epoch(socket.connected_at_epoch_s);
    let request_at = socket.request_at.map_or_else(|| connected_at.clone(), |at| moment.text_of(at));
    let (letter, prefix) = match socket.side {
        Side::Client => ("C", "cl"),
        Side::Server => ("S", "sv"),
    };
    let state = if with_buffers { format!("{prefix}_{}", socket.list) } else { socket.state.to_owned() };
    let mut cells: Vec<Cell<'_>> = vec![
        letter.into(),
        socket.user.as_deref().unwrap_or("(nouser)").into(),
        socket.database.as_deref().unwrap_or("(nodb)").into(),
        "none".into(),
        state.into(),
        socket.remote.host_text().into(),
        socket.remote.port().into(),
        socket.local.host_text().into(),
        socket.local.port().into(),
        connected_at.into(),
        request_at.into(),
        socket.wait.as_secs().into(),
        (socket.wait.0 % 1_000_000).into(),
        socket.close_needed.into(),
        pointer(socket.id).into(),
        socket.link.map(pointer).unwrap_or_default().into(),
        socket.remote_pid.into(),
        (&*socket.tls).into(),
        (&*socket.application_name).into(),
        socket.prepared_statements.into(),
        socket.id.into(),
    ];
    if with_buffers {
        // PgBouncer tells of the buffer that it keeps for each connection; there is none here.
        cells.extend(std::iter::repeat_n(Cell::Number(0), 7));
    }
    rows.push(&cells);
}

/// What stands for a connection where PgBouncer prints its address in memory; log lines print the same.
fn pointer(id: u64) -> String {
    format!("{id:#x}")
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use crate::core::{CancelKey, ClientIdentity, ServerIdentity};
    use std::sync::Arc;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    fn client(id: u64, state: ClientState) -> SocketView {
        let identity = ClientIdentity {
            socket_id: id,
            database: "shop".into(),
            user: "ada".into(),
            remote: Address::Unix { port: 6432, pid: 77, uid: 1 },
            local: Address::Unix { port: 6432, pid: 77, uid: 1 },
            tls: String::new(),
            connected_at_epoch_s: 1_795_320_830,
            internal: false,
        };
        (&ClientRow {
            identity: Arc::new(identity),
            state,
            request_at: Micros::from_secs(95),
            wait: Micros(2_500_000),
            link: Some(31),
            application_name: "psql".into(),
            prepared_statements: 2,
        })
            .into()
    }

    fn server(id: u64, state: ServerState) -> SocketView {
        let identity = ServerIdentity {
            socket_id: id,
            database: "shop".into(),
            user: "ada".into(),
            remote: tcp("10.0.0.1:5432"),
            local: tcp("10.0.0.2:40000"),
            host: "db1".into(),
            tls: "TLSv1.3/TLS_AES_256_GCM_SHA384".into(),
            connected_at_epoch_s: 1_795_320_830,
            cancel_key: CancelKey { pid: 4711, secret: Box::new([0; 4]) },
        };
        (&ServerRow {
            identity: Arc::new(identity),
            state,
            request_at: Micros(0),
            close_needed: true,
            link: None,
            application_name: "".into(),
            prepared_statements: 0,
        })
            .into()
    }

    fn read(name: &str, sockets: Vec<SocketView>) -> Vec<String> {
        let moment = Moment::at(Micros::from_secs(100), 1_795_320_840);
        let rows = rows(tables::find(name).unwrap(), sockets, &moment);
        let row = |row: Vec<(String, Option<String>)>| {
            row.into_iter().map(|(_, value)| value.unwrap_or("NULL".into())).collect::<Vec<_>>().join("|")
        };
        rows.read_back().into_iter().map(row).collect()
    }

    #[test]
    fn a_client_is_told_as_pgbouncer_tells_it() {
        assert_eq!(
            read("clients", vec![client(0x20, ClientState::Waiting)]),
            [
                "C|ada|shop|none|waiting|unix|6432|unix|6432|2026-11-22 04:13:50 UTC|2026-11-22 04:13:55 UTC|2|500000|0|0x20|\
              0x1f|77||psql|2|32"
            ]
        );
    }

    #[test]
    fn a_server_is_told_as_pgbouncer_tells_it() {
        assert_eq!(
            read("servers", vec![server(31, ServerState::BeingCanceled)]),
            ["S|ada|shop|none|being_canceled|10.0.0.1|5432|10.0.0.2|40000|2026-11-22 04:13:50 UTC|\
              2026-11-22 04:13:50 UTC|0|0|1|0x1f||4711|TLSv1.3/TLS_AES_256_GCM_SHA384||0|31"]
        );
    }

    #[test]
    fn sockets_have_the_names_of_lists_and_their_order() {
        let idle = client(3, ClientState::Idle);
        let mut stranger = client(1, ClientState::Active);
        (stranger.database, stranger.user, stranger.list) = (None, None, "login");
        let read = read(
            "sockets",
            vec![server(9, ServerState::Used), client(4, ClientState::Active), idle, stranger],
        );
        let states: Vec<_> =
            read.iter().map(|row| row.split('|').skip(1).take(4).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(
            states,
            [
                "(nouser)|(nodb)|none|cl_login",
                "ada|shop|none|cl_active",
                "ada|shop|none|cl_active",
                "ada|shop|none|sv_used"
            ]
        );
        assert!(read[0].ends_with("|1|0|0|0|0|0|0|0"));
    }
}

//! SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS: one row a connection, ordered by database, user and id.
//!
//! Source: PgBouncer, doc/usage.md (Show commands).

use super::rows::{Cell, Rows};
use super::tables::Shown;
use super::times::Moment;

use crate::status::{Side, SocketView};
use crate::wire::startup::Replication;

/// The rows of one of the four tables, by its columns.
pub(super) fn rows(shown: &'static Shown, mut sockets: Vec<SocketView>, moment: &Moment) -> Rows {
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
        match socket.replication {
            Replication::No => "none",
            Replication::Logical => "logical",
            Replication::Physical => "physical",
        }
        .into(),
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
    use crate::base::{Address, Micros, Proof};
    use crate::core::{
        CancelKey, ClientIdentity, ClientRow, ClientState, ServerIdentity, ServerRow, ServerState,
    };
    use std::sync::Arc;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    fn client(id: u64, state: ClientState) -> SocketView {
        let identity = ClientIdentity {
            socket_id: id,
            database: "shop".into(),
            user: "ada".into(),
            proof: Proof::by("trust"),
            remote: Address::Unix { port: 6432, pid: 77, uid: 1 },
            local: Address::Unix { port: 6432, pid: 77, uid: 1 },
            tls: String::new(),
            connected_at_epoch_s: 1_795_320_830,
            replication: Replication::No,
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
            transaction_at: None,
            ending: None,
        })
            .into()
    }

    fn server(id: u64, state: ServerState) -> SocketView {
        let identity = ServerIdentity {
            socket_id: id,
            database: "shop".into(),
            user: "ada".into(),
            login_user: "ada".into(),
            remote: tcp("10.0.0.1:5432"),
            local: tcp("10.0.0.2:40000"),
            host: "db1".into(),
            endpoint: "db1:5432".into(),
            tls: "TLSv1.3/TLS_AES_256_GCM_SHA384".into(),
            connected_at_epoch_s: 1_795_320_830,
            replication: Replication::No,
            cancel_key: CancelKey { pid: 4711, secret: Box::new([0; 4]) },
            credential: None,
        };
        (&ServerRow {
            identity: Arc::new(identity),
            state,
            request_at: Micros(0),
            close_needed: true,
            link: None,
            application_name: "".into(),
            prepared_statements: 0,
            generation: 0,
            authorized_until: None,
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
            ["C|ada|shop|none|waiting|unix|6432|unix|6432|2026-11-22 04:13:50 UTC|2026-11-22 04:13:55 \
                UTC|2|500000|0|0x20|0x1f|77||psql|2|32"]
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

//! Tests of `load.rs`.

use super::*;
use crate::base::Micros;
use crate::config::{AuthType, Host, PoolMode, Workers};

fn load(text: &str, previous: Option<&Snapshot>) -> Result<Snapshot, ConfigErrors> {
    Snapshot::load_with("p.ini", previous, &|_| Ok(text.as_bytes().to_vec()))
}

fn valid(text: &str) -> Snapshot {
    load(text, None).unwrap()
}

fn reloaded(previous: &Snapshot, text: &str) -> Snapshot {
    load(text, Some(previous)).unwrap()
}

fn shown(snapshot: &Snapshot, key: &str) -> Option<String> {
    snapshot.show_config().find(|row| row.key == key).unwrap().value
}

#[test]
fn a_whole_file_is_read() {
    let snapshot = valid(
        "[databases]\n\
         foo = host=a,10.0.0.1 port=6000 dbname=bar user=u password='p w' pool_size=3 timezone=UTC\n\
         bare =\n\
         * = host=/run\n\
         [users]\n\
         u = pool_mode=statement\n\
         [pgbouncer]\n\
         listen_port = 0x1900\n\
         auth_type = TRUST\n\
         server_lifetime = 0.5\n\
         workers = 2\n",
    );
    let foo = snapshot.database("foo").unwrap();
    assert_eq!((&*foo.dbname, foo.port, foo.pool_size), ("bar", 6000, Some(3)));
    assert_eq!(foo.hosts, [Host::Name("a".into()), Host::Ip([10, 0, 0, 1].into())]);
    assert_eq!(foo.password.expose(), "p w");
    assert_eq!(foo.startup, [("timezone", "UTC".into())]);
    let bare = snapshot.database("bare").unwrap();
    assert_eq!((&*bare.dbname, bare.port, &bare.hosts[..]), ("bare", 5432, &[Host::DefaultUnixDir][..]));
    let auto = snapshot.database("other").unwrap();
    assert_eq!((&*auto.name, &*auto.dbname, auto.host_text().as_deref()), ("other", "other", Some("/run")));
    assert!(snapshot.database("pgbouncer").is_none());
    assert_eq!(snapshot.users["u"].pool_mode, Some(PoolMode::Statement));
    assert_eq!(snapshot.settings.auth_type, AuthType::Trust);
    assert_eq!(snapshot.settings.server_lifetime, Micros(500_000));
    assert_eq!(snapshot.settings.workers, Workers::Fixed(2));
    assert_eq!(shown(&snapshot, "listen_port").as_deref(), Some("6400"));
    assert_eq!(snapshot.path(), Path::new("p.ini"));
    assert_eq!(snapshot.warnings, [""; 0]);
}

#[test]
fn every_error_is_told_with_its_line() {
    let text = "early = 1\n\
        [databases]\n\
        pgbouncer = host=a\n\
        a = hots=b\n\
        b = port=0\n\
        c = host\n\
        d = pool_mode=x\n\
        [pgbouncer]\n\
        auth_dbname = pgbouncer\n\
        no_such = 1\n\
        listen_port = many\n\
        auth_type = kerberos\n\
        broken\n\
        io_backend = io_uring\n\
        [users]\n\
        u = host=a\n\
        [peers]\n\
        0 = host=a\n\
        1 = port=1\n\
        [nowhere]\n\
        x = 1\n";
    let errors = load(text, None).unwrap_err();
    let lines: Vec<_> = errors.iter().map(|error| error.place.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 18, 19, 20]);
    let text = errors.to_string();
    for words in [
        "value without section: early",
        "database name \"pgbouncer\" is reserved",
        "unrecognized connection parameter: hots",
        "invalid value \"0\" for parameter port of database \"b\"",
        "syntax error in connection string of database \"c\"",
        "accepted: session, transaction, statement",
        "cannot use the reserved \"pgbouncer\" database as an auth_dbname",
        "unknown parameter: pgbouncer/no_such",
        "invalid value \"many\" for parameter listen_port in configuration (p.ini:11)",
        "invalid value \"kerberos\" for parameter auth_type in configuration (p.ini:12): accepted: any,",
        "syntax error in configuration (p.ini:13): ",
        "the io_uring backend is not available in this version",
        "unrecognized user parameter: host",
        "ids of peers must be a number larger than 0",
        "host was not provided for peer 1",
        "invalid section \"nowhere\" in configuration (p.ini:20)",
    ] {
        assert!(text.contains(words), "{words}\nis not in\n{text}");
    }
    assert_eq!(text.lines().count(), lines.len());
}

#[test]
fn a_file_named_by_mistake_is_not_shown() {
    for text in [
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\nbawIBAQQg8ZkMIGHAgEA==\n",
        "[pgbouncer]\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\nbawIBAQQg8ZkMIGHAgEA==\n",
        "[databases]\nx = host=h MIGHAgEAMBMGByqGSM49Ag=x bawIBAQQg8ZkMIGHAgEA=y\n",
        "[users]\nx = MIGHAgEAMBMGByqGSM49Ag=x bawIBAQQg8ZkMIGHAgEA=y\n",
        "[MIGHAgEAMBMGByqGSM49Ag]\n",
    ] {
        let told = load(text, None).unwrap_err().to_string();
        assert!(!told.contains("MIGHAgEA") && !told.contains("bawIBAQQ"), "{told}");
    }
}

#[test]
fn errors_are_bounded_and_hold_no_password() {
    let text = format!("[databases]\n{}", "a = password=hunter2 port=x\n".repeat(5000));
    let errors = load(&text, None).unwrap_err();
    assert_eq!(errors.iter().count(), limits::CONFIG_ERRORS_MAX + 1);
    assert!(!format!("{errors} {errors:?}").contains("hunter2"));
    let errors = load("[pgbouncer]\n[databases]\na = password=hunter2 'x'=y\n", None).unwrap_err();
    assert!(!format!("{errors} {errors:?}").contains("hunter2"));
    assert!(!format!("{:?}", valid("[pgbouncer]\n[databases]\na = password=hunter2\n")).contains("hunter2"));
}

#[test]
fn the_main_section_must_be_there_and_resets_when_opened_again() {
    let errors = load("[databases]\n", None).unwrap_err().to_string();
    assert_eq!(errors, "main section missing from config file (p.ini): [pgbouncer]");
    let snapshot = valid("[pgbouncer]\nlisten_port = 1\nauth_user = x\nverbose = 1\n[users]\n[pgbouncer]\n");
    assert_eq!(snapshot.settings.listen_port, 6432);
    assert_eq!(snapshot.settings.auth_user.as_deref(), Some("x"), "no default to go back to");
    assert_eq!(shown(&snapshot, "verbose").as_deref(), Some("1"));
}

#[test]
fn an_overlay_adds_keys_to_a_file_that_pgbouncer_reads() {
    let main = "[databases]\na = host=h port=1\n* = host=i\n[pgbouncer]\nquery_timeout = 5\nverbose = 1\n";
    let load = |overlay: &str| {
        let read = |name: &str| Ok(if name == "o.ini" { overlay } else { main }.as_bytes().to_vec());
        Snapshot::load_all("p.ini", Some("o.ini".into()), None, &read).map_err(|refused| refused.errors)
    };
    let both = load(
        "[databases]\n\
         a = server_auth=rds_iam port=2\n\
         * = iam_region=eu-west-1\n\
         [users]\n\
         u = iam_max_age=60\n\
         [pgbouncer]\n\
         query_timeout = 7\n",
    );
    let both = both.unwrap();
    let a = both.database("a").unwrap();
    assert_eq!((a.host_text().as_deref(), a.port), (Some("h"), 2));
    assert_eq!(a.server_auth, Some(crate::config::ServerAuth::RdsIam));
    let auto = both.database("made").unwrap();
    assert_eq!(
        (auto.host_text().as_deref(), auto.iam_endpoint.region.as_deref()),
        (Some("i"), Some("eu-west-1"))
    );
    assert_eq!(both.users["u"].iam.max_age.as_deref(), Some("60"));
    assert_eq!(both.settings.query_timeout, Micros::from_secs(7));
    assert_eq!(shown(&both, "verbose").as_deref(), Some("1"), "nothing is reset");
    assert_eq!(both.places.databases["a"].to_string(), "o.ini:2");
    let told = load("[databases]\nb = port=1\n[peers]\n1 = host=h\n").unwrap_err().to_string();
    assert_eq!(
        told,
        "database \"b\" of the overlay (o.ini:2) is not in the configuration that it adds to\n\
         section [peers] has no place in an overlay (o.ini:3): accepted: pgbouncer, databases, users, \
         instances"
    );
    let again = Snapshot::load_with("p.ini", Some(&both), &|name| {
        Ok(if name == "o.ini" { "[databases]\na = port=3" } else { main }.as_bytes().to_vec())
    });
    assert_eq!(again.unwrap().database("a").unwrap().port, 3, "a reload reads it again");
}

#[test]
fn a_missing_file_is_told() {
    let errors = Snapshot::load(Path::new("/no/such/file.ini"), None).unwrap_err();
    assert!(errors.to_string().starts_with("could not load file \"/no/such/file.ini\": "), "{errors}");
    assert_eq!(errors.iter().count(), 1);
}

#[test]
fn a_reload_resets_what_has_a_default_and_keeps_the_rest() {
    let first = valid("[pgbouncer]\nauth_user = x\nmax_client_conn = 5\nlisten_port = 7000\nworkers = 1\n");
    let second = reloaded(&first, "[pgbouncer]\nlisten_port = 7001\nworkers = 2\n");
    assert_eq!(second.settings.auth_user.as_deref(), Some("x"));
    assert_eq!(second.settings.max_client_conn, 100);
    assert_eq!(second.settings.listen_port, 7000);
    assert_eq!(second.ignored, ["listen_port", "workers"]);
    assert!(second.warnings[0].contains("listen_port keeps its value \"7000\" until a restart"));
}

#[test]
fn a_forced_user_is_not_lost_by_a_reload() {
    let first = valid("[pgbouncer]\n[databases]\na = user=u password=p\n* = user=v\n");
    let second = reloaded(&first, "[pgbouncer]\n[databases]\na = port=1\n* =\n");
    let a = second.database("a").unwrap();
    assert_eq!((a.user.as_deref(), a.password.expose(), a.port), (Some("u"), "p", 1));
    assert_eq!(second.database("b").unwrap().user.as_deref(), Some("v"));
    assert_eq!(second.warnings.len(), 2);
}

#[test]
fn an_entry_whose_auth_dbname_is_the_console_is_warned_about() {
    let snapshot = valid(
        "[pgbouncer]\n\
         [databases]\n\
         a = auth_dbname=pgbouncer\n\
         b = auth_dbname=a\n\
         * = auth_dbname=pgbouncer\n",
    );
    let warned: Vec<_> = snapshot.warnings.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(warned, ["database \"a\"", "database \"*\""]);
}

#[test]
fn who_names_clients_in_two_ways_is_told_which_counts() {
    let text =
        "[databases]\na =\nb = application_name_template=%a\n[pgbouncer]\napplication_name_add_host = 1\n";
    assert_eq!(valid(text).warnings, [""; 0]);
    assert_eq!(
        valid(&format!("{text}application_name_template = %a@%r\n")).warnings,
        ["database \"a\": application_name_add_host has no effect with application_name_template"]
    );
}

#[test]
fn an_entry_that_nobody_can_reach_by_tcp_is_warned_about() {
    let text = "[databases]\na = client_tls_required=1\nb = client_tls_required=0\n[pgbouncer]\n";
    let snapshot = valid(text);
    assert_eq!(
        snapshot.warnings,
        ["database \"a\": client_tls_required with client_tls_sslmode=disable refuses all TCP clients"]
    );
    let open = valid(&format!("{text}client_tls_sslmode = allow\n"));
    assert_eq!(open.warnings, [""; 0]);
    assert!(open.database("a").unwrap().client_tls_required);
    assert!(!open.database("b").unwrap().client_tls_required);
    assert_eq!(open.with_setting("client_tls_sslmode", "disable").unwrap().warnings, snapshot.warnings);
}

#[test]
fn what_takes_no_effect_is_warned_about_by_name() {
    let snapshot = valid(
        "[pgbouncer]\n\
         pkt_buf = 75\n\
         peer_id = 0\n\
         client_tls_ciphers = secure\n\
         server_tls_ciphers = AES256-SHA\n\
         [peers]\n\
         1 = host=a\n",
    );
    let text = snapshot.warnings.join("\n");
    assert!(text.contains("pkt_buf") && text.contains("server_tls_ciphers") && text.contains("[peers]"));
    assert_eq!(snapshot.warnings.len(), 3, "{text}");
}

#[test]
fn set_makes_a_new_snapshot() {
    let first = valid("[pgbouncer]\n");
    let second = first.with_setting("query_timeout", "1.5").unwrap();
    assert_eq!(shown(&second, "query_timeout").as_deref(), Some("1.5"));
    assert_eq!(shown(&first, "query_timeout").as_deref(), Some("0"));
    assert_eq!(first.with_setting("listen_port", "junk").unwrap(), first, "accepted without effect");
    assert_eq!(first.with_setting("Query_timeout", "1"), Err(SetError::Unknown("Query_timeout".to_owned())));
    assert!(first.with_setting("query_timeout", "long").unwrap_err().to_string().contains("query_timeout"));
    assert_eq!(shown(&reloaded(&second, "[pgbouncer]\n"), "query_timeout").as_deref(), Some("0"));
}

#[test]
fn show_config_has_pgbouncers_texts() {
    let snapshot = valid("[pgbouncer]\nadmin_users = a, b\nserver_check_delay=0.25\npool_mode=Transaction\n");
    let row = |key: &str| {
        let row = snapshot.show_config().find(|row| row.key == key).unwrap();
        (row.value, row.default, row.changeable)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(row("unix_socket_mode"), (text("511"), Some("0777"), false));
    assert_eq!(row("verbose"), (text("0"), None, true));
    assert_eq!(row("auth_user"), (None, None, true));
    assert_eq!(row("admin_users"), (text("a, b"), Some(""), true));
    assert_eq!(row("server_check_delay"), (text("0.25"), Some("30"), true));
    assert_eq!(row("pool_mode"), (text("transaction"), Some("session"), true));
    assert_eq!(row("conffile"), (text("p.ini"), None, true));
}

#[test]
fn a_setting_below_another_section_is_told_as_that() {
    let refused = |text: &str| load(text, None).unwrap_err().to_string();
    let told =
        refused("[databases]\na = host=h\nmax_client_conn = 100\n[users]\npool_mode = session\n[pgbouncer]");
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "setting max_client_conn stands in section [databases] of the configuration (p.ini:3): it \
             belongs to [pgbouncer]",
            "setting pool_mode stands in section [users] of the configuration (p.ini:5): it belongs to \
             [pgbouncer]",
        ]
    );
    let told = refused("[peers]\nlisten_port = 6432\n[pgbouncer]");
    assert!(told.starts_with("setting listen_port stands in section [peers] "), "{told}");
    let told = refused("[databases]\napp = 100\n[pgbouncer]");
    assert!(told.starts_with("syntax error in connection string of database \"app\""), "{told}");
    let warned = valid("[databases]\nauth_query = host=h\nlogfile =\n[pgbouncer]").warnings;
    assert_eq!(warned.len(), 2, "{warned:?}");
    let begin = "entry \"logfile\" of [databases] has the name of a setting (p.ini:3)";
    assert!(warned[1].starts_with(begin), "{warned:?}");
}

#[test]
fn what_looks_like_a_comment_in_a_value_is_told() {
    let warned = |line: &str| valid(&format!("[databases]\n[pgbouncer]\n{line}\n")).warnings;
    for (line, mark) in [
        ("logfile = /var/log/p.log ; where lines go", ";"),
        ("unix_socket_dir = /run\t# sockets", "#"),
        ("server_reset_query = DISCARD ALL #all", "#"),
    ] {
        let told = warned(line);
        let key = line.split(' ').next().unwrap();
        let begin =
            format!("value of {key} has \"{mark}\" in it (p.ini:3): a comment stands on a line of its own");
        assert_eq!(told, [begin]);
    }
    for line in
        ["; logfile = x ; y", "# a # b", "server_reset_query = DISCARD ALL; SELECT 1", "logfile = /a#b;c"]
    {
        assert_eq!(warned(line), [""; 0], "{line}");
    }
}

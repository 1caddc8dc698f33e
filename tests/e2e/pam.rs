//! Logins by PAM: the machine's own libpam, a service file under /etc/pam.d that hands each password to a
//! script (pam_exec). Source: PgBouncer, doc/config.md (`auth_type`, pam).
//!
//! The service's name is fixed, so the file is taken for all tests of this program at once, if there is none,
//! and goes with it; that needs root or sudo without a password.

use crate::auth::try_log_in;
use crate::common::raw::{Raw, startup_message};
use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, account, postgres, programs, reaper, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Lets in whose password is the name and `-secret`; `slow` waits until there is a file.
const SCRIPT: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
cd "$(dirname "$0")" || exit 1
[ "$PAM_TYPE" = account ] || password=$(tr -d '\0')
echo "$PAM_TYPE $PAM_SERVICE $PAM_USER $PAM_RHOST" >>asked
case $PAM_TYPE:$PAM_USER in
account:expired) exit 1 ;;
auth:slow) until [ -e go ]; do sleep 0.05; done ;;
esac
[ "$PAM_TYPE" = account ] || [ "$password" = "$PAM_USER-secret" ]
"#;

/// Writes the file, unless a living program other than ours has it; 77: it cannot.
const INSTALL: &str = r#"
file=/etc/pam.d/pgbouncer
[ -d /etc/pam.d ] || exit 77
if [ -e $file ]; then
    owner=$(sed -n 's/^# pgweir test //p' $file)
    [ "$owner" ] && [ ! -d "/proc/$owner" ] || exit 77
fi
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
script="pam_exec.so quiet $2"
printf '# pgweir test %s\nauth required %s\naccount required %s\n' \
    "$1" "${script%quiet*}quiet expose_authtok $2" "$script" | as_root tee $file >/dev/null 2>&1 || exit 77
"#;

/// The directory of the script, once the service is there; `None`: it cannot be had.
fn service() -> Option<&'static Path> {
    static SERVICE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let service = SERVICE.get_or_init(|| {
        let directory = reaper::directory().join("pam");
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let script = directory.join("script");
        account::write(&script, SCRIPT, 0o755);
        let pid = std::process::id().to_string();
        let install = Command::new("sh")
            .args(["-c", INSTALL, "install", &pid])
            .arg(&script)
            .stdin(Stdio::null())
            .output();
        let output = install.expect("sh runs");
        output.status.success().then(|| {
            reaper::remove("/etc/pam.d/pgbouncer");
            directory
        })
    });
    service.as_deref().or_else(|| skip("PAM wants root or sudo, and no /etc/pam.d/pgbouncer of another's"))
}

fn setup() -> PoolerSetup {
    PoolerSetup::new(postgres()).set("auth_type", "pam")
}

#[track_caller]
fn is_refused(pooler: &Pooler, user: &str, password: &str) {
    let refused = try_log_in(pooler, "127.0.0.1", user, password).expect_err("must be refused");
    assert!(refused.contains("PAM authentication failed"), "{user}: {refused}");
    assert!(!pooler.log().contains("-secret"), "a password is in the log");
}

#[test]
fn pam_says_who_a_client_is_and_its_password_serves_the_server() {
    let Some(directory) = service() else { return };
    let pooler =
        setup().user("plain", "listed-password").database("held", "dbname=app auth_user=app").start();
    for user in ["plain", "md5er", "scrammer"] {
        assert_eq!(try_log_in(&pooler, "127.0.0.1", user, &format!("{user}-secret")).as_deref(), Ok(user));
    }
    let unix = pooler.directory().display().to_string();
    assert_eq!(try_log_in(&pooler, &unix, "plain", "plain-secret").as_deref(), Ok("plain"));
    for (user, password) in [("plain", "wrong"), ("plain", "listed-password"), ("expired", "expired-secret")]
    {
        is_refused(&pooler, user, password);
    }
    for why in ["PAM does not take the password: ", "PAM does not let the account in: "] {
        pooler.wait_for_log(&format!("PAM login failed: {why}"));
    }
    let asked = std::fs::read_to_string(directory.join("asked")).expect("it was asked");
    for line in [
        "auth pgbouncer plain 127.0.0.1",
        "account pgbouncer plain 127.0.0.1",
        "auth pgbouncer plain unix",
        "account pgbouncer expired 127.0.0.1",
    ] {
        assert!(asked.lines().any(|said| said == line), "{line}\nis not in\n{asked}");
    }
    assert!(console(&pooler, "admin-secret"));
    assert!(!console(&pooler, "wrong"));
    let mut psql = pooler.psql();
    psql.args(["-U", "plain", "-d", "held", "-c", "select 1"]).env("PGPASSWORD", "plain-secret");
    let output = psql.output().expect("psql is installed");
    assert!(programs::said(&output).contains("bouncer config error"), "{output:?}");
}

fn console(pooler: &Pooler, password: &str) -> bool {
    let mut psql = pooler.psql();
    psql.args(["-U", "admin", "-d", "pgbouncer", "-c", "show version"]).env("PGPASSWORD", password);
    let output = psql.output().expect("psql is installed");
    output.status.success()
}

/// A client of `slow` that has sent its password.
fn slow(pooler: &Pooler) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.send(&startup_message(0x0003_0000, &[("user", "slow"), ("database", "app")]));
    assert_eq!(raw.read().expect("an answer").body, [0, 0, 0, 3]);
    raw.send(b"p\0\0\0\x10slow-secret\0");
    raw
}

#[test]
fn pam_that_hangs_holds_up_nobody_who_is_in_and_a_full_queue_is_told() {
    let Some(directory) = service() else { return };
    postgres().psql("postgres", "create role slow login password 'slow-secret'");
    let pooler = setup().start();
    let unix = pooler.directory().display().to_string();
    let mut psql = pooler.psql();
    psql.args(["-U", "plain"]).env("PGPASSWORD", "plain-secret").stdin(Stdio::piped()).stdout(Stdio::piped());
    psql.args(["-h", &unix]);
    let mut inside = psql.spawn().expect("psql is installed");
    let mut waiting: Vec<_> = (0..109).map(|_| slow(&pooler)).collect();
    pooler.wait_for_log("WARNING PAM: the queue is full, 101 logins wait for their turns");
    // another address has its turn all the same; who is in is served
    assert_eq!(try_log_in(&pooler, &unix, "md5er", "md5er-secret").as_deref(), Ok("md5er"));
    let mut input = inside.stdin.take().expect("was asked for");
    std::io::Write::write_all(&mut input, b"select 'served';\n").expect("it reads");
    drop(input);
    let output = inside.wait_with_output().expect("it ends");
    assert!(programs::said(&output).contains("served"), "{output:?}");
    account::write(&directory.join("go"), "", 0o644);
    for raw in &mut waiting {
        assert_eq!(raw.outcome().status, Some(b'I'), "{}", pooler.log());
    }
    drop(waiting);
    std::fs::remove_file(directory.join("go")).expect("it is ours");
    let asked = || {
        std::fs::read_to_string(directory.join("asked"))
            .unwrap_or_default()
            .matches("auth pgbouncer slow")
            .count()
    };
    let before = asked();
    let hanging = slow(&pooler);
    wait_until("PAM is asked once more", || asked() > before);
    drop(pooler); // ends although PAM still hangs
    drop(hanging);
    account::write(&directory.join("go"), "", 0o644);
}

#[test]
fn no_rule_of_an_hba_file_asks_pam() {
    let rules = PoolerSetup::new(postgres())
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .file("rules.conf", "host all all all pam\n");
    let said = programs::said(&rules.check(&[]));
    assert!(said.contains("hba config line (rules.conf:1) is left out: unsupported method: pam"), "{said}");
}

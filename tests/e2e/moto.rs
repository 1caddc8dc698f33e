//! Rotations at moto, which plays AWS: its Secrets Manager keeps the stages, its STS gives the credentials
//! that the secret is fetched by. Nothing in it is ours; faults are `secrets_manager`'s matter.

use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, free_port, postgres, programs, reaper, wait_until};
use crate::secrets::{alter, json, load_seconds, role, row, under_load, whoami};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running moto.
struct Moto {
    python: PathBuf,
    port: u16,
}

impl Moto {
    /// `None`: it is not installed.
    #[expect(clippy::zombie_processes, reason = "lives as long as we do; the reaper ends it")]
    fn start() -> Option<Self> {
        let python = programs::in_repository(".venv/bin/python");
        let has = Command::new(&python).args(["-c", "import moto.server"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            return skip("no moto: make setup");
        }
        let port = free_port();
        let mut server = Command::new(&python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Python is installed");
        reaper::guard(server.id(), "TERM");
        wait_until("moto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { python, port })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does what whoever rotates a secret does, and gives what is said of it.
    fn rotator(&self, words: &[&str]) -> String {
        let script = programs::in_repository("tests/drivers/moto_secrets.py");
        let mut python = Command::new(&self.python);
        programs::run(python.arg(script).arg(self.url()).args(words)).trim().to_owned()
    }

    /// A pooler whose database `app` is logged in to by that secret, fetched by a role that STS gives.
    fn pooler(&self, arn: &str) -> Pooler {
        let keys = format!(
            "user=pooled server_auth=secretsmanager secret_arn={arn} iam_credential_source=env pool_size=4 \
             iam_role_arn=arn:aws:iam::123456789012:role/reader iam_sts_region=eu-west-1 server_lifetime=1"
        );
        PoolerSetup::new(postgres())
            .database("app", &keys)
            .environment("AWS_ENDPOINT_URL", self.url())
            .environment("AWS_ACCESS_KEY_ID", "AKIAPOOLER")
            .environment("AWS_SECRET_ACCESS_KEY", "signs")
            .start()
    }
}

/// Python begins anew for each step of a rotation.
fn seconds() -> u64 {
    load_seconds().max(30)
}

#[test]
fn a_rotation_of_one_user_at_moto_costs_no_client_an_error() {
    let Some(moto) = Moto::start() else { return };
    role("moto_single", "0");
    let arn = moto.rotator(&["create", "single", &json("moto_single", "0")]);
    let pooler = moto.pooler(&arn);
    under_load(&pooler, seconds(), |number| {
        let old = row(&pooler)["version"].clone();
        moto.rotator(&["pend", "single", &json("moto_single", &number.to_string())]);
        alter("moto_single", &number.to_string());
        let refused = format!("version {old} was refused");
        wait_until("a login meets the gap", || pooler.log().contains(&refused));
        let version = moto.rotator(&["finish", "single"]);
        pooler.ask("reload"); // in place of five minutes
        wait_until("the new version is current", || row(&pooler)["version"] == version);
    });
    assert_eq!(whoami(&mut pooler.client()), "moto_single");
}

#[test]
fn a_rotation_of_alternating_users_at_moto_costs_no_client_an_error() {
    let Some(moto) = Moto::start() else { return };
    let users = ["moto_a", "moto_b"];
    users.iter().for_each(|user| role(user, "0"));
    let arn = moto.rotator(&["create", "turns", &json("moto_a", "0")]);
    let pooler = moto.pooler(&arn);
    under_load(&pooler, seconds(), |number| {
        let user = users[number as usize % 2];
        alter(user, &number.to_string());
        moto.rotator(&["pend", "turns", &json(user, &number.to_string())]);
        let version = moto.rotator(&["finish", "turns"]);
        pooler.ask("reload"); // in place of five minutes
        wait_until("the new version is current", || row(&pooler)["version"] == version);
        wait_until("clients are served by its user", || whoami(&mut pooler.client()) == user);
    });
    assert!(!pooler.log().contains("was refused"), "both users stay valid: {}", pooler.log());
}

//! Rotations of secrets that clients prove themselves by, under a loop of logins: an application takes its
//! password from where it is kept, which may be before the pooler has looked, and no login fails.

use crate::client_secrets::{METHODS, asking, by_vault, replace, row};
use crate::common::secrets::{MARK, none_in};
use crate::common::{Pooler, programs, wait_until};
use crate::secrets::{json, load_seconds};
use crate::vault::{Vault, arn};
use std::process::{Child, Stdio};
use std::time::Instant;

const THREADS: usize = 4;

/// The loop of logins beside a test; the application's own copy of its secret is the file `app-copy`.
struct Logins(Child);

impl Logins {
    fn start(pooler: &Pooler, user: &str, password: &str) -> Self {
        Self::know(pooler, password);
        let mut python =
            programs::limited_to(100 + 2 * load_seconds(), programs::in_repository(".venv/bin/python"));
        python
            .arg(programs::in_repository("tests/drivers/logins.py"))
            .env("PGWEIR_PORT", pooler.port.to_string())
            .env("PGWEIR_USER", user)
            .env("PGWEIR_SECRET", pooler.directory().join("app-copy"))
            .env("PGWEIR_THREADS", THREADS.to_string())
            .env("PGWEIR_STOP", pooler.directory().join("stop"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(python.spawn().expect("Python is installed"))
    }

    /// The application has got that password.
    fn know(pooler: &Pooler, password: &str) {
        replace(pooler, "app-copy", &format!("{MARK}{password}"));
    }

    /// Waits until every thread has logged in twice more: the second time by what is known now.
    #[track_caller]
    fn go_on(&mut self, pooler: &Pooler) {
        let each = |thread: usize| {
            let file = pooler.directory().join(format!("app-copy.{thread}"));
            std::fs::metadata(file).map_or(0, |found| found.len())
        };
        let before: [u64; THREADS] = std::array::from_fn(each);
        wait_until("all log in", || {
            let has_ended = self.0.try_wait().expect("is our child").is_some();
            has_ended || (0..THREADS).all(|thread| each(thread) >= before[thread] + 2)
        });
    }

    /// How many logins there were; none has failed.
    #[track_caller]
    fn end(self, pooler: &Pooler) -> u64 {
        pooler.overwrite("stop", "");
        let output = self.0.wait_with_output().expect("is our child");
        let said = programs::said(&output);
        assert!(output.status.success(), "{said}: {}", pooler.log());
        none_in("what a driver says", &said);
        said.trim().parse().expect("a number")
    }
}

/// Rotates a few times while logins run. A secret is rotated once every login by the one before has ended, as
/// with those who leave the one before valid: each time all threads have logged in by what is current.
fn under_logins(pooler: &Pooler, user: &str, mut rotate: impl FnMut(u32) -> String) -> u64 {
    let begin = Instant::now();
    let mut logins = Logins::start(pooler, user, &rotate(0));
    let rotations = u32::try_from(load_seconds() / 6).expect("not so long").max(3);
    for number in 1..=rotations {
        logins.go_on(pooler);
        // the application asks for its secret when it likes, which may be before the pooler does
        let password = rotate(number);
        Logins::know(pooler, &password);
    }
    logins.go_on(pooler);
    let count = logins.end(pooler);
    eprintln!("{rotations} rotations and {count} logins in {:?}", begin.elapsed());
    count
}

#[test]
fn rotations_of_a_file_under_logins_cost_none_an_error() {
    for method in METHODS {
        let pooler = asking(method).set("auth_secret_file", "kept").file("kept", "; nobody yet\n").start();
        let count = under_logins(&pooler, "kept", |number| {
            replace(&pooler, "kept", &json("kept", &number.to_string()));
            number.to_string()
        });
        assert!(count > 30, "{method}");
    }
}

#[test]
fn rotations_at_aws_under_logins_cost_none_an_error_and_are_fetched_once_each() {
    for method in METHODS {
        let vault = Vault::start();
        vault.put("kept", "AWSCURRENT", Some(("v0", &json("kept", "0"))));
        let keys = format!("user=app password=x auth_secret_arn={}", arn("kept"));
        let pooler = by_vault(asking(method), &vault).database("app", &keys).start();
        let mut rotations = 0;
        under_logins(&pooler, "kept", |number| {
            rotations = number;
            vault.put(
                "kept",
                "AWSCURRENT",
                Some((&format!("v{number}"), &json("kept", &number.to_string()))),
            );
            number.to_string()
        });
        assert_eq!(row(&pooler)["version"], format!("v{rotations}"), "{method}");
        let calls = vault.calls();
        assert!(calls.iter().all(|call| call == "kept AWSCURRENT"), "{calls:?}");
        assert!(calls.len() <= 2 + 2 * rotations as usize, "{calls:?}");
    }
}

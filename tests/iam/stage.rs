//! A stage for one test: a fake AWS, a directory, and a process of its own whose environment points there.
//!
//! The AWS libraries read their environment from the process, and a process has one environment for all its
//! threads; so each test runs itself again as a child with the environment that it needs, once for each of
//! its scenes. Around it this process drives the fake and searches all that the child said for secrets.

use crate::fake::{FakeAws, SECRET_MARK, Service};
use pgweir::iam::{AwsSource, Fetch, FetchError, Fetched, Http, Region, SourceKey, SourceKind, SystemClock};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the child finds the fake's port.
const PORT: &str = "PGWEIR_TEST_FAKE_AWS";

/// Where the child finds its directory.
const DIRECTORY: &str = "PGWEIR_TEST_DIRECTORY";

/// Which of a test's scenes the child plays, counted from 1.
const SCENE: &str = "PGWEIR_TEST_SCENE";

thread_local! {
    /// Scenes that this thread, which is this test's, has come to.
    static SCENES: Cell<u32> = const { Cell::new(0) };
}

/// The region of all tests.
pub fn region() -> Region {
    "eu-west-1".parse().expect("a region")
}

/// What the child has of the stage.
pub struct Stage {
    port: u16,
    /// A directory for this test alone.
    pub directory: PathBuf,
}

/// The environment in which one source of credentials finds the fake.
pub fn imds(fake: &FakeAws) -> (&'static str, String) {
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
}

/// No metadata service, as on a machine that is none of AWS's.
pub fn no_imds() -> (&'static str, String) {
    ("AWS_EC2_METADATA_DISABLED", "true".into())
}

/// STS at the fake.
pub fn sts(fake: &FakeAws) -> (&'static str, String) {
    ("AWS_ENDPOINT_URL_STS", fake.url())
}

/// The container's endpoint at the fake.
pub fn container(fake: &FakeAws) -> (&'static str, String) {
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", fake.url()))
}

/// Profiles in the files `config` and `credentials` of the stage's directory.
pub fn profile_files(directory: &Path) -> [(&'static str, String); 2] {
    [
        ("AWS_CONFIG_FILE", directory.join("config").display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", directory.join("credentials").display().to_string()),
    ]
}

/// Plays `body` in a child whose environment is `environment` and little else.
#[track_caller]
pub fn play(
    environment: impl FnOnce(&FakeAws, &Path) -> Vec<(&'static str, String)>,
    body: impl AsyncFnOnce(Stage),
) {
    play_with(FakeAws::start, environment, body);
}

/// As [`play`], with a fake made by `fake`.
#[track_caller]
pub fn play_with(
    fake: impl FnOnce() -> FakeAws,
    environment: impl FnOnce(&FakeAws, &Path) -> Vec<(&'static str, String)>,
    body: impl AsyncFnOnce(Stage),
) {
    let scene = SCENES.get() + 1;
    SCENES.set(scene);
    if let Ok(port) = std::env::var(PORT) {
        if std::env::var(SCENE).is_ok_and(|wanted| wanted != scene.to_string()) {
            return;
        }
        let directory = std::env::var_os(DIRECTORY).expect("set by the parent").into();
        let stage = Stage { port: port.parse().expect("a port"), directory };
        return in_child(body(stage));
    }
    let fake = fake();
    let directory = Scratch::new();
    let thread = std::thread::current();
    let name = thread.name().expect("the test harness names threads by tests");
    let output = Command::new(std::env::current_exe().expect("we run"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &directory.0)
        .env(PORT, fake.port().to_string())
        .env(DIRECTORY, &directory.0)
        .env(SCENE, scene.to_string())
        .envs(environment(&fake, &directory.0))
        .output()
        .expect("the test can be run again");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child failed:\n{said}");
    assert!(said.contains("1 passed"), "the child played nothing:\n{said}");
    assert!(!said.contains(SECRET_MARK), "a secret was shown:\n{said}");
}

/// Runs the test itself, with the pooler's own log at its most talkative.
fn in_child(body: impl Future<Output = ()>) {
    use pgweir::observe::{
        log,
        sink::{Destinations, Stderr},
    };
    let outputs =
        Destinations { stderr: Stderr::Lines, ..Destinations::default() }.open().expect("opens no file");
    let log = log::start(outputs, 3).expect("the first log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(body);
    drop(runtime);
    log.flush();
}

impl Stage {
    /// Makes a service of the fake behave so (`NAME=VALUE` lines).
    pub fn set(&self, service: Service, behaviour: &str) {
        self.ask("PUT", service, behaviour);
    }

    /// What a service was asked so far.
    pub fn calls(&self, service: Service) -> Vec<String> {
        self.ask("GET", service, "").lines().map(ToOwned::to_owned).collect()
    }

    /// Writes a file into the test's directory.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).expect("the directory is ours");
    }

    /// Sends a request of its own to the fake and returns the whole answer.
    pub fn raw(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the fake listens");
        let request = format!("{head} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn ask(&self, method: &str, service: Service, body: &str) -> String {
        let answer = self.raw(&format!("{method} /control/{}", service.name()), body);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{answer}");
        body.to_owned()
    }
}

/// The key of a source without profile or role.
pub fn key(kind: SourceKind) -> SourceKey {
    SourceKey::new(kind, None, None, None, &region())
}

/// The key of a source that reads this profile.
pub fn profile(kind: SourceKind, name: &str) -> SourceKey {
    SourceKey::new(kind, Some(name), None, None, &region())
}

/// One fetch from a source of that key, by the AWS libraries.
pub async fn fetch(key: &SourceKey) -> Result<Fetched, FetchError> {
    Arc::new(AwsSource::new(key.clone(), region(), Arc::new(SystemClock), Http::default())).fetch().await
}

/// A directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pgweir-iam-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! The keeper in simulated time, with scripted answers in AWS's place.

use super::super::fetch::Fetching;
use super::super::source::Role;
use super::super::sources::Sources;
use super::*;
use crate::base::limits;
use crate::control::tests::Lines;
use crate::iam::Fetched;
use aws_credential_types::Credentials as AwsCredentials;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;
use tokio::time::Instant;

/// The wall clock of tokio's simulated time, set forward by so many seconds.
#[derive(Debug)]
struct Simulated(Instant, AtomicUsize);

impl WallClock for Simulated {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH
            + Duration::from_secs(1_000_000)
            + self.0.elapsed()
            + Duration::from_secs(self.1.load(Ordering::SeqCst) as u64)
    }
}

/// One answer of the script.
#[derive(Clone, Copy)]
enum Answer {
    /// The credentials of that number, with so many seconds to live (negative: expired).
    Key(u32, i64),
    /// The same, after so many seconds.
    Late(u64, u32, i64),
    Fails(Reason),
    Hangs,
    Panics,
}

/// Answers by the script, then by its last line for ever.
struct Script {
    clock: Arc<Simulated>,
    answers: Mutex<VecDeque<Answer>>,
    via: SourceKind,
    fetches: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    identified: AtomicUsize,
    /// Whose they are.
    principal: Mutex<&'static str>,
}

impl Script {
    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn set(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.iter().copied().collect();
    }
}

impl Fetch for Script {
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let now_at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_once_max.fetch_max(now_at_once, Ordering::SeqCst);
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
            };
            let mut answer = answer.unwrap();
            if let Answer::Late(after_s, number, life_s) = answer {
                seconds(after_s).await;
                answer = Answer::Key(number, life_s);
            }
            let result = match answer {
                Answer::Late(..) => unreachable!("it is a key by now"),
                Answer::Key(number, life_s) => {
                    let life = Duration::from_secs(life_s.unsigned_abs());
                    let now = self.clock.now();
                    let expires_at = if life_s < 0 { now - life } else { now + life };
                    let key = format!("AKID{number:04}");
                    let session = Some("session".to_owned());
                    let credentials = AwsCredentials::new(key, "secret", session, Some(expires_at), "script");
                    Ok(Fetched { credentials, via: self.via, principal: None })
                }
                Answer::Fails(reason) => Err(FetchError::new(reason)),
                Answer::Hangs => std::future::pending().await,
                Answer::Panics => panic!("over an answer"),
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            result
        })
    }

    fn identify(self: Arc<Self>, _: Arc<Credentials>) -> Fetching<Result<String, FetchError>> {
        self.identified.fetch_add(1, Ordering::SeqCst);
        let principal = (*self.principal.lock().unwrap()).to_owned();
        Box::pin(std::future::ready(Ok(principal)))
    }
}

fn started(kind: SourceKind, stability: StaticStability, answers: &[Answer]) -> (Source, Arc<Script>) {
    let clock = Arc::new(Simulated(Instant::now(), AtomicUsize::new(0)));
    let script = Arc::new(Script {
        clock: Arc::clone(&clock),
        answers: Mutex::default(),
        via: kind,
        fetches: AtomicUsize::new(0),
        at_once: AtomicUsize::new(0),
        at_once_max: AtomicUsize::new(0),
        identified: AtomicUsize::new(0),
        principal: Mutex::new("arn:aws:sts::1:assumed-role/a/b"),
    });
    script.set(answers);
    let fetch: Arc<dyn Fetch> = script.clone();
    (Source::start(key(kind, None), fetch, clock, stability), script)
}

fn key(kind: SourceKind, role: Option<Role>) -> SourceKey {
    SourceKey::new(kind, None, role, None, &"eu-west-1".parse().unwrap())
}

fn imds(answers: &[Answer]) -> (Source, Arc<Script>) {
    started(SourceKind::Imds, StaticStability::Off, answers)
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

fn key_of(source: &Source) -> String {
    source.current().unwrap().key_tail()
}

#[tokio::test(start_paused = true)]
async fn credentials_are_there_and_renewed_before_their_end() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Key(2, 3600)]);
    assert_eq!(source.current().unwrap_err(), CredentialState::Empty);
    source.fetched_after(0).await;
    assert_eq!(key_of(&source), "0001");
    assert_eq!(source.current().unwrap().generation(), 1);
    seconds(2400).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (1, "0001"));
    seconds(300).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (2, "0002"));
    assert_eq!(source.current().unwrap().generation(), 2);
    let report = source.report();
    assert_eq!((report.state, report.loads), (CredentialState::Fresh, 2));
    assert_eq!(report.principal.as_deref(), Some("arn:aws:sts::1:assumed-role/a/b"));
    assert_eq!(script.identified.load(Ordering::SeqCst), 2, "asked once for each");
    assert!(report.next_refresh_at.is_some() && report.failure.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_library_is_a_fetch_that_has_failed() {
    let (lines, _guard) = Lines::listen();
    let (source, script) = imds(&[Answer::Panics, Answer::Key(1, 3600)]);
    source.fetched_after(0).await;
    assert_eq!(lines.count("ERROR"), 1, "one for each panic: {lines:?}");
    assert!(
        lines.has_error("fetching credentials (imds) has panicked and was ended, all else goes on"),
        "{lines:?}"
    );
    assert_eq!(lines.count("WARN message=iam source imds: no credentials: "), 1, "and the state: {lines:?}");
    let failure = source.report().failure.expect("it is told");
    assert_eq!(failure.0.reason, Reason::Garbage);
    source.fetched_after(1).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (2, "0001"));
}

#[tokio::test(start_paused = true)]
async fn the_same_credentials_again_are_the_same_generation() {
    let (source, script) = imds(&[Answer::Key(1, 3600)]);
    seconds(4000).await;
    assert!(script.fetches() >= 2);
    assert_eq!(source.current().unwrap().generation(), 1);
    assert_eq!(script.identified.load(Ordering::SeqCst), 1, "nor have they another owner");
}

#[tokio::test(start_paused = true)]
async fn the_principal_is_that_of_the_credentials_at_hand() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Key(2, 3600)]);
    source.identified().await;
    *script.principal.lock().unwrap() = "arn:aws:sts::1:assumed-role/other/b";
    seconds(2800).await;
    assert_eq!(key_of(&source), "0002");
    assert_eq!(source.report().principal.as_deref(), Some("arn:aws:sts::1:assumed-role/other/b"));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_ridden_out_on_the_last_good_ones() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Fails(Reason::Service)]);
    seconds(3500).await;
    assert_eq!(key_of(&source), "0001");
    assert_eq!(source.report().state, CredentialState::Stale(Reason::Service));
    let in_outage = script.fetches();
    assert!(in_outage < 60, "{in_outage} calls in 15 minutes");
    seconds(200).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::Service));
    script.set(&[Answer::Key(2, 3600)]);
    seconds(61).await;
    assert_eq!(key_of(&source), "0002");
    let report = source.report();
    assert_eq!((report.state, report.loads), (CredentialState::Fresh, 2));
    let failed: u64 =
        report.refreshes().filter(|(result, ..)| *result == "failed").map(|(.., count)| count).sum();
    assert_eq!(failed, script.fetches() as u64 - 2);
    assert!(report.refreshes().any(|row| row == ("failed", "service", failed)));
}

#[tokio::test(start_paused = true)]
async fn a_start_without_credentials_recovers() {
    let (source, script) = imds(&[Answer::Fails(Reason::Unreachable)]);
    seconds(300).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::Unreachable));
    let since = source.report().failure.unwrap().1;
    assert!(since < script.clock.now() - Duration::from_secs(290), "since the first failure");
    assert!((8..25).contains(&script.fetches()), "{}", script.fetches());
    script.set(&[Answer::Key(1, 3600)]);
    seconds(61).await;
    assert_eq!(key_of(&source), "0001");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_fetch_is_given_up_and_a_program_may_take_its_time() {
    let (source, script) = imds(&[Answer::Hangs]);
    seconds(120).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::Timeout));
    assert!(script.fetches() > 3);

    let (source, script) = started(SourceKind::Process, StaticStability::Off, &[Answer::Hangs]);
    seconds(limits::CREDENTIAL_PROCESS_MS / 1000 + 10).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Empty, "within its time it has not failed");
    assert_eq!((script.fetches(), source.report().failures), (1, [0; Reason::ALL.len()]));
    seconds(300).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::Timeout));
    assert!(script.fetches() > 2, "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_takes_its_time_each_time_makes_no_failure() {
    let answers = [Answer::Late(20, 1, 3600), Answer::Late(20, 2, 3600)];
    let (source, script) = started(SourceKind::Process, StaticStability::Off, &answers);
    seconds(3600).await;
    let report = source.report();
    assert_eq!((report.state, report.failures), (CredentialState::Fresh, [0; Reason::ALL.len()]));
    assert_eq!((script.fetches(), script.at_once_max.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn many_who_want_new_ones_make_one_fetch() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Key(2, 3600)]);
    seconds(60).await;
    let before = source.fetches();
    for _ in 0..100 {
        source.force_refresh();
    }
    source.fetched_after(before).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (2, "0002"));
    for _ in 0..20 {
        source.force_refresh();
        seconds(1).await;
    }
    assert_eq!(script.fetches(), 2, "one in half a minute");
    seconds(11).await;
    assert_eq!(script.fetches(), 3);
    assert_eq!(script.at_once_max.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_finds_them_expired_after_a_jump_of_the_clock_has_new_ones_fetched_at_once() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Key(2, 3600)]);
    seconds(60).await;
    script.clock.1.store(7200, Ordering::SeqCst);
    assert!(source.current().is_err());
    source.want();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (2, "0002"));
    for _ in 0..1_000 {
        source.want();
    }
    seconds(1).await;
    assert_eq!(script.fetches(), 2, "a wish alone makes no fetch");
    script.set(&[Answer::Key(3, 3600), Answer::Key(4, 3600), Answer::Fails(Reason::Unreachable)]);
    script.clock.1.store(10_800, Ordering::SeqCst);
    source.look_again();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((script.fetches(), key_of(&source).as_str()), (3, "0003"), "nor need a login wait for them");
    script.set(&[Answer::Fails(Reason::Unreachable)]);
    script.clock.1.store(14_400, Ordering::SeqCst);
    source.want();
    seconds(1).await;
    let failed = script.fetches();
    for _ in 0..1_000 {
        source.want();
    }
    (0..1_000).for_each(|_| source.look_again());
    seconds(0).await;
    assert!(failed >= 4 && script.fetches() == failed, "nor one before the back-off is over");
}

#[tokio::test(start_paused = true)]
async fn expired_ones_from_a_source_are_recognised() {
    let (source, script) = imds(&[Answer::Key(1, -600)]);
    seconds(5).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::ExpiredFromSource));
    script.set(&[Answer::Key(2, 3600), Answer::Key(3, -600)]);
    seconds(2800).await;
    assert_eq!(key_of(&source), "0002", "better ones are kept");
    assert_eq!(source.report().state, CredentialState::Stale(Reason::ExpiredFromSource));
}

#[tokio::test(start_paused = true)]
async fn with_static_stability_the_platforms_expired_ones_go_on() {
    let on = StaticStability::On;
    let (source, _script) = started(SourceKind::Container, on, &[Answer::Key(1, -600)]);
    seconds(5).await;
    assert_eq!(source.report().state, CredentialState::Stale(Reason::ExpiredFromSource));
    let credentials = source.current().unwrap();
    assert!(credentials.usable_until() > credentials.expires_at());

    let (source, _script) =
        started(SourceKind::Imds, on, &[Answer::Key(1, 3600), Answer::Fails(Reason::Service)]);
    for _ in 0..200 {
        seconds(30).await;
        assert_eq!(key_of(&source), "0001", "without a gap");
    }

    let (source, _script) =
        started(SourceKind::WebIdentity, on, &[Answer::Key(1, 3600), Answer::Fails(Reason::Service)]);
    seconds(3700).await;
    assert_eq!(source.current().unwrap_err(), CredentialState::Dead(Reason::Service), "STS's own never do");

    let (_imds, script) = started(SourceKind::Imds, on, &[Answer::Key(1, -600)]);
    let role = Role::new("arn:aws:iam::123456789012:role/db", None).ok();
    let source = Source::start(key(SourceKind::Imds, role), script.clone(), script.clock.clone(), on);
    seconds(5).await;
    let state = CredentialState::Dead(Reason::ExpiredFromSource);
    assert_eq!(source.current().unwrap_err(), state, "nor do a role's");
}

#[tokio::test(start_paused = true)]
async fn short_lived_ones_are_renewed_without_end_but_not_in_a_loop() {
    let (source, script) = imds(&[Answer::Key(1, 120)]);
    for _ in 0..60 {
        seconds(10).await;
        source.current().unwrap();
    }
    assert!((9..13).contains(&script.fetches()), "{}", script.fetches());
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_its_source() {
    let (source, script) = imds(&[Answer::Key(1, 120)]);
    seconds(10).await;
    drop(source);
    seconds(1000).await;
    assert_eq!(script.fetches(), 1);
    assert_eq!(Arc::strong_count(&script), 1, "nobody holds it any more");
}

#[tokio::test(start_paused = true)]
async fn equal_keys_share_a_source() {
    let sources =
        Sources::new(Arc::new(Simulated(Instant::now(), AtomicUsize::new(0))), StaticStability::Off);
    let region = "eu-west-1".parse().unwrap();
    let key = |kind| SourceKey::new(kind, None, None, None, &region);
    let first = sources.source(&key(SourceKind::Env), &region);
    for _ in 0..1000 {
        assert!(Arc::ptr_eq(&first, &sources.source(&key(SourceKind::Env), &region)));
    }
    sources.source(&key(SourceKind::Process), &region);
    assert_eq!(sources.all().len(), 2);
    sources.retain(|key| key.kind() == SourceKind::Env);
    assert_eq!(sources.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_new_ones_is_told_when_they_are_fetched() {
    let (source, script) = imds(&[Answer::Key(1, 3600), Answer::Hangs]);
    assert_eq!(source.force_refresh(), Duration::ZERO, "the first fetch is about to begin");
    source.fetched_after(0).await;
    seconds(10).await;
    assert_eq!(source.force_refresh().as_secs(), 20, "one in half a minute");
    seconds(10).await;
    assert_eq!((source.force_refresh().as_secs(), script.fetches()), (10, 1));
    seconds(11).await;
    assert_eq!((source.force_refresh(), script.fetches()), (Duration::ZERO, 2), "it is under way");

    let (source, script) = imds(&[Answer::Key(1, 3600)]);
    seconds(60).await;
    assert_eq!(source.force_refresh(), Duration::ZERO);
    source.fetched_after(1).await;
    assert_eq!(script.fetches(), 2, "and it came at once");

    let (source, _script) = imds(&[Answer::Fails(Reason::Throttled)]);
    source.fetched_after(0).await;
    assert!(source.force_refresh() > Duration::from_secs(1), "who asked for fewer calls is left alone");
}

#[tokio::test(start_paused = true)]
async fn it_is_announced_when_usable_ones_come_where_there_were_none() {
    let arrived = Arc::new(Notify::new());
    let (_, script) = imds(&[Answer::Fails(Reason::Service), Answer::Key(1, -600), Answer::Key(2, 120)]);
    let common = Common {
        clock: script.clock.clone(),
        stability: StaticStability::Off,
        arrived: Arc::clone(&arrived),
        pace: Arc::default(),
        audit: None,
    };
    let source = Source::start_with(key(SourceKind::Imds, None), script.clone(), None, common);
    arrived.notified().await;
    assert_eq!(key_of(&source), "0002", "neither the failure nor what came dead");
    let mut again = std::pin::pin!(arrived.notified());
    let renewed = tokio::time::timeout(Duration::from_secs(600), again.as_mut()).await;
    assert!(renewed.is_err(), "what follows on each other without a gap is no news");
    script.set(&[Answer::Fails(Reason::Service)]);
    seconds(300).await;
    assert!(source.current().is_err());
    script.set(&[Answer::Key(3, 3600)]);
    again.await;
    assert_eq!(key_of(&source), "0003");
}

//! Verdicts on tokens that only AWS can verify: kept for as long as they hold, asked for once at a time, and
//! no faster than a pace.
//!
//! A token itself is never kept: what is known of one stands under an HMAC-SHA256 of it, and of whatever else
//! the verdict is for, with a key that this process has drawn for itself. Acceptances and refusals are kept
//! apart, each within its bound, the least recently asked for goes first: so no flood of tokens that are
//! refused makes anybody's acceptance be forgotten. Whoever comes with a token that is being judged waits and
//! looks again; a verdict that did not come is nobody's. Times are those of the process's clock, and come in
//! as arguments. Never decides who asks AWS.

use super::fair_semaphore::Permit;
use super::plane::Plane;
use super::random::Randomness;
use super::turns::Turns;
use crate::base::{Address, Micros, limits};
use aws_lc_rs::hmac;
use lru::LruCache;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What a token, and what it is shown for, stand under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenId([u8; 32]);

/// What was said of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<A> {
    /// It is good, and for whom.
    Accepted(A),
    /// It is not, and why.
    Refused(Arc<str>),
}

/// The verdicts of one kind.
pub(crate) struct Verdicts<A> {
    key: OnceLock<hmac::Key>,
    accepted: Mutex<LruCache<TokenId, (A, Micros)>>,
    refused: Mutex<LruCache<TokenId, (Arc<str>, Micros)>>,
    judged: Mutex<HashMap<TokenId, Arc<tokio::sync::Mutex<()>>>>,
}

/// One token that is being judged, or waits for who judges it.
pub(crate) struct Judging<A: Send + Sync + 'static> {
    verdicts: Arc<Verdicts<A>>,
    id: TokenId,
    /// `None` while it waits.
    turn: Option<tokio::sync::OwnedMutexGuard<()>>,
}

fn cache<V>(entries_max: usize) -> Mutex<LruCache<TokenId, V>> {
    Mutex::new(LruCache::new(NonZeroUsize::new(entries_max).unwrap_or(NonZeroUsize::MIN)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A> Default for Verdicts<A> {
    fn default() -> Self {
        Self {
            key: OnceLock::new(),
            accepted: cache(limits::TOKENS_ACCEPTED_MAX),
            refused: cache(limits::TOKENS_REFUSED_MAX),
            judged: Mutex::default(),
        }
    }
}

impl<A: Clone + Send + Sync + 'static> Verdicts<A> {
    /// What stands for these parts together; `None`: the system has no randomness.
    pub(crate) fn id(&self, random: &Randomness, parts: &[&str]) -> Option<TokenId> {
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let drawn = zeroize::Zeroizing::new(random.take::<32>()?);
                self.key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &*drawn))
            }
        };
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes()); // so that no two lists read alike
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().ok().map(TokenId)
    }

    /// What is known `now`.
    pub(crate) fn known(&self, id: &TokenId, now: Micros) -> Option<Verdict<A>> {
        if let Some((accepted, until)) = lock(&self.accepted).get(id)
            && now < *until
        {
            return Some(Verdict::Accepted(accepted.clone()));
        }
        let mut refused = lock(&self.refused);
        let (why, until) = refused.get(id)?;
        (now < *until).then(|| Verdict::Refused(Arc::clone(why)))
    }

    /// It is good until then.
    pub(crate) fn accept(&self, id: TokenId, accepted: A, until: Micros) {
        lock(&self.refused).pop(&id);
        lock(&self.accepted).put(id, (accepted, until));
    }

    /// It is refused until then.
    pub(crate) fn refuse(&self, id: TokenId, why: Arc<str>, until: Micros) {
        lock(&self.accepted).pop(&id);
        lock(&self.refused).put(id, (why, until));
    }

    /// Waits until nobody else judges that token: who has waited looks first at what is known.
    ///
    /// # Cancel safety
    /// Dropping it leaves the wait.
    pub(crate) async fn judge(self: &Arc<Self>, id: TokenId) -> Judging<A> {
        let token = Arc::clone(lock(&self.judged).entry(id).or_default());
        let mut judging = Judging { verdicts: Arc::clone(self), id, turn: None };
        judging.turn = Some(token.lock_owned().await);
        judging
    }
}

impl<A: Send + Sync + 'static> Drop for Judging<A> {
    fn drop(&mut self) {
        self.turn = None;
        let mut judged = lock(&self.verdicts.judged);
        // one that nobody else waits for is in the table alone
        if judged.get(&self.id).is_some_and(|token| Arc::strong_count(token) == 1) {
            judged.remove(&self.id);
        }
    }
}

/// So many a second, one second's worth at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When all that was taken has been made up for.
    made_up_at: Micros,
}

const SECOND: Micros = Micros::from_secs(1);

impl Pace {
    /// Takes one of `per_second`.
    ///
    /// # Errors
    /// When there may be one.
    pub(crate) fn take(&mut self, per_second: u32, now: Micros) -> Result<(), Micros> {
        let made_up_at = self.made_up_at.max(now) + Micros(SECOND.0 / u64::from(per_second.max(1)));
        if made_up_at > now + SECOND {
            return Err(made_up_at - SECOND);
        }
        self.made_up_at = made_up_at;
        Ok(())
    }

    /// Whether it would begin anew.
    fn is_rested(&self, now: Micros) -> bool {
        self.made_up_at <= now
    }
}

/// Turns at AWS, so many at a time and so many a second, shared out by the networks that clients come from.
#[derive(Debug)]
pub(crate) struct PacedTurns {
    turns: Turns,
    pace: Mutex<Pace>,
}

impl PacedTurns {
    pub(crate) fn new(what: &'static str) -> Self {
        let turns = Turns::new(what, limits::TOKENS_JUDGED_MAX, limits::TOKENS_JUDGED_EACH_MAX);
        Self { turns, pace: Mutex::default() }
    }

    /// Takes one of `per_second`.
    ///
    /// # Errors
    /// When there may be one.
    pub(crate) fn keep_pace(&self, per_second: u32, now: Micros) -> Result<(), Micros> {
        lock(&self.pace).take(per_second, now)
    }

    /// Whether forgetting it would change nothing: a new one would let as many pass.
    pub(crate) fn is_rested(&self, now: Micros) -> bool {
        lock(&self.pace).is_rested(now)
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue, and takes none of the pace.
    pub(crate) async fn take(&self, client: &Address, per_second: u32, plane: &Plane) -> Permit {
        let permit = self.turns.take(client, plane.now()).await;
        loop {
            let now = plane.now();
            match self.keep_pace(per_second, now) {
                Ok(()) => return permit,
                Err(at) => tokio::time::sleep(pause(at, now)).await,
            }
        }
    }
}

/// The paces of those who send tokens, address by address; the one that was heard of least recently is
/// forgotten first, and begins anew.
pub(crate) struct SourcePaces(Mutex<LruCache<String, Pace>>);

impl Default for SourcePaces {
    fn default() -> Self {
        let most = NonZeroUsize::new(limits::TOKEN_SOURCES_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl SourcePaces {
    /// Waits until the pace of that client's address has room for one more.
    ///
    /// # Cancel safety
    /// Dropping it takes none of the pace.
    pub(crate) async fn wait(&self, client: &Address, per_second: u32, plane: &Plane) {
        while let Err(at) = self.take(&client.host_text(), per_second, plane.now()) {
            tokio::time::sleep(pause(at, plane.now())).await;
        }
    }

    fn take(&self, source: &str, per_second: u32, now: Micros) -> Result<(), Micros> {
        let mut all = lock(&self.0);
        if let Some(pace) = all.get_mut(source) {
            return pace.take(per_second, now);
        }
        let mut pace = Pace::default();
        let taken = pace.take(per_second, now);
        all.put(source.to_owned(), pace);
        taken
    }
}

/// From now until then, and a moment at the least.
fn pause(at: Micros, now: Micros) -> Duration {
    at.since(now).to_duration().max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(verdicts: &Verdicts<u32>, parts: &[&str]) -> TokenId {
        verdicts.id(&Randomness::default(), parts).expect("randomness")
    }

    const AT: fn(u64) -> Micros = Micros::from_secs;

    #[test]
    fn a_verdict_holds_for_its_time_and_for_what_it_is_for() {
        let verdicts = Verdicts::default();
        let [good, bad, other] = ["good", "bad", "other"].map(|token| id(&verdicts, &[token, "alice"]));
        verdicts.accept(good, 7, AT(10));
        verdicts.refuse(bad, "no".into(), AT(5));
        assert_eq!(verdicts.known(&good, AT(9)), Some(Verdict::Accepted(7)));
        assert_eq!(verdicts.known(&good, AT(10)), None);
        assert_eq!(verdicts.known(&bad, AT(4)), Some(Verdict::Refused("no".into())));
        assert_eq!(verdicts.known(&bad, AT(5)), None);
        assert_eq!(verdicts.known(&other, AT(1)), None);
        for parts in
            [&["good", "bob"][..], &["good"], &["goodalice"], &["", "goodalice"], &["good", "alice", ""]]
        {
            assert_eq!(verdicts.known(&id(&verdicts, parts), AT(1)), None, "{parts:?}");
        }
        verdicts.accept(bad, 8, AT(10));
        assert_eq!(verdicts.known(&bad, AT(1)), Some(Verdict::Accepted(8)), "the last word counts");
        verdicts.refuse(good, "revoked".into(), AT(5));
        assert_eq!(verdicts.known(&good, AT(1)), Some(Verdict::Refused("revoked".into())));
        assert_eq!(verdicts.known(&good, AT(6)), None, "what was accepted before does not come back");
    }

    #[test]
    fn two_processes_have_other_ids() {
        let [one, other] = [(); 2].map(|()| Verdicts::<u32>::default());
        assert!(id(&one, &["token"]) != id(&other, &["token"]));
    }

    #[test]
    fn a_flood_of_refusals_makes_no_acceptance_be_forgotten_and_takes_bounded_room() {
        let verdicts = Verdicts::default();
        let good = id(&verdicts, &["good"]);
        verdicts.accept(good, 7, AT(10));
        for number in 0..2 * limits::TOKENS_REFUSED_MAX {
            verdicts.refuse(id(&verdicts, &[&number.to_string()]), "no".into(), AT(5));
        }
        assert_eq!(verdicts.known(&good, AT(1)), Some(Verdict::Accepted(7)));
        assert_eq!(lock(&verdicts.refused).len(), limits::TOKENS_REFUSED_MAX);
        for number in 0..limits::TOKENS_ACCEPTED_MAX {
            verdicts.accept(id(&verdicts, &[&number.to_string()]), 8, AT(10));
        }
        assert_eq!(lock(&verdicts.accepted).len(), limits::TOKENS_ACCEPTED_MAX);
        assert_eq!(verdicts.known(&good, AT(1)), None, "the one asked for least recently went first");
    }

    #[tokio::test]
    async fn one_judges_a_token_at_a_time_and_nothing_is_left_of_it() {
        let verdicts = Arc::new(Verdicts::<u32>::default());
        let [one, other] = ["one", "other"].map(|token| id(&verdicts, &[token]));
        let first = verdicts.judge(one).await;
        drop(verdicts.judge(other).await);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let verdicts = Arc::clone(&verdicts);
                tokio::spawn(async move { verdicts.judge(one).await })
            })
            .collect();
        while lock(&verdicts.judged).get(&one).is_some_and(|token| Arc::strong_count(token) < 5) {
            tokio::task::yield_now().await;
        }
        assert!(waiting.iter().all(|task| !task.is_finished()));
        let mut waiting = waiting.into_iter();
        let gone = waiting.next().expect("three");
        gone.abort();
        assert!(gone.await.is_err());
        drop(first);
        for task in waiting {
            drop(task.await.expect("it has its turn"));
        }
        assert!(lock(&verdicts.judged).is_empty());
    }

    #[test]
    fn a_pace_has_a_seconds_worth_at_once_and_no_more_in_any_second_after() {
        let mut pace = Pace::default();
        let taken = |pace: &mut Pace, now: Micros| (0..100).take_while(|_| pace.take(5, now).is_ok()).count();
        assert_eq!(taken(&mut pace, AT(100)), 5);
        assert_eq!(pace.take(5, AT(100)), Err(AT(100) + Micros::from_millis(200)));
        let mut count = 0;
        for ms in (0..10_000).step_by(10) {
            count += taken(&mut pace, AT(100) + Micros::from_millis(ms));
        }
        assert!((49..=50).contains(&count), "{count} in ten seconds");
        assert_eq!(taken(&mut pace, AT(1_000)), 5, "a quiet time is not saved up");
        assert_eq!(taken(&mut Pace::default(), Micros(0)), 5);
        let mut slow = Pace::default();
        assert_eq!((slow.take(1, AT(1)), slow.take(1, AT(1))), (Ok(()), Err(AT(2))));
    }

    #[test]
    fn each_source_has_a_pace_of_its_own_and_their_number_is_bounded() {
        let paces = SourcePaces::default();
        assert_eq!(paces.take("10.0.0.1", 1, AT(1)), Ok(()));
        assert_eq!(paces.take("10.0.0.1", 1, AT(1)), Err(AT(2)));
        assert_eq!(paces.take("10.0.0.2", 1, AT(1)), Ok(()));
        for number in 0..2 * limits::TOKEN_SOURCES_MAX {
            assert_eq!(paces.take(&number.to_string(), 1, AT(1)), Ok(()));
        }
        assert_eq!(lock(&paces.0).len(), limits::TOKEN_SOURCES_MAX);
    }
}

//! The pace, second by second.

use super::*;
use proptest::prelude::*;

const fn s(seconds: u64) -> Micros {
    Micros::from_secs(seconds)
}

fn served(budget: &mut Budget, now: Micros) -> Vec<u64> {
    std::iter::from_fn(|| budget.next(now)).map(|turn| turn.ticket.number).collect()
}

#[test]
fn a_burst_and_then_the_pace() {
    let mut budget = Budget::new(20, s(0));
    for _ in 0..500 {
        budget.ask(Priority::Client, s(0));
    }
    assert_eq!(served(&mut budget, s(0)).len(), 20);
    assert_eq!(budget.next_at(s(0)), Some(Micros(50_000)));
    let mut now = s(0);
    let mut count = 20;
    while let Some(at) = budget.next_at(now) {
        now = at;
        count += served(&mut budget, now).len();
    }
    assert_eq!((count, now), (500, s(24)));
}

#[test]
fn clients_go_before_pools_before_recycling() {
    let mut budget = Budget::new(1, s(0));
    let old = budget.ask(Priority::Recycling, s(0));
    let pool = budget.ask(Priority::MinPool, s(0));
    let first = budget.ask(Priority::Client, s(1));
    let second = budget.ask(Priority::Client, s(1));
    let mut order = Vec::new();
    for second in 1..6 {
        order.extend(served(&mut budget, s(second)));
    }
    assert_eq!(order, [first, second, pool, old].map(|ticket| ticket.number));
}

#[test]
fn waits_are_told_and_tickets_can_be_given_back() {
    let mut budget = Budget::new(1, s(0));
    let [a, b, c] = [0, 0, 0].map(|_| budget.ask(Priority::Client, s(0)));
    assert_eq!(budget.next(s(0)), Some(Turn { ticket: a, waited: s(0) }));
    budget.forget(b);
    budget.forget(b);
    budget.forget(a);
    assert_eq!(budget.waiting(), 1);
    assert_eq!(budget.next(s(0)), None);
    assert_eq!(budget.next(s(1)), Some(Turn { ticket: c, waited: s(1) }));
    assert_eq!(budget.next_at(s(1)), None);
}

#[test]
fn throttling_halves_and_time_heals() {
    let mut budget = Budget::new(20, s(0));
    budget.throttled(s(0), s(0));
    budget.throttled(s(1), s(1));
    assert_eq!(budget.rate(), 10, "one burst of refusals counts once");
    budget.throttled(s(2), s(2));
    assert_eq!(budget.rate(), 5);
    budget.throttled(s(1), s(9));
    assert_eq!(budget.rate(), 5, "that login took long, and was of the pace of before");
    let mut budget = Budget::new(20, s(0));
    budget.throttled(s(0), s(0));
    budget.throttled(s(3), s(3));
    assert_eq!(budget.rate(), 5);
    budget.fill(s(33));
    assert_eq!(budget.rate, 7_625, "by five eighths, and then by one each time");
    budget.fill(s(1000));
    assert_eq!(budget.rate(), 20);
    for second in 2000..2100 {
        budget.throttled(s(second * 3), s(second * 3));
    }
    assert_eq!(budget.rate(), 1, "never to nothing");
}

#[test]
fn a_pace_that_was_taken_until_it_grew_is_cut_by_little() {
    let mut budget = Budget::new(40, s(0));
    budget.throttled(s(0), s(0));
    budget.fill(s(40));
    assert_eq!(budget.rate(), 24);
    budget.throttled(s(40), s(40));
    assert_eq!(budget.rate, 23_000 - 23_000 / 16, "what was taken before, and a little less");
    budget.throttled(s(40), s(43));
    assert_eq!(budget.rate(), 21, "that login met those of the pace of before");
    budget.throttled(s(43), s(43));
    assert_eq!(budget.rate(), 10, "it takes fewer than it did");
    let mut slow = Budget::new(2, s(0));
    slow.throttled(s(0), s(0));
    slow.fill(s(10));
    assert_eq!(slow.rate, 1_125);
    slow.throttled(s(10), s(10));
    assert_eq!((slow.rate, slow.rate()), (938, 1));
}

#[test]
fn turns_come_evenly_while_logins_are_throttled_and_a_while_after() {
    let at_once = |budget: &mut Budget, now| {
        let asked = [(); 30].map(|()| budget.ask(Priority::Client, now));
        let count = served(budget, now).len();
        asked.into_iter().for_each(|ticket| budget.forget(ticket));
        count
    };
    let mut budget = Budget::new(20, s(0));
    assert_eq!(at_once(&mut budget, s(0)), 20);
    budget.throttled(s(0), s(10));
    assert_eq!(at_once(&mut budget, s(20)), 1);
    budget.ask(Priority::Client, s(20));
    assert_eq!(budget.next_at(s(20)), Some(s(20) + Micros(90_910)), "of 11 a second");
    budget.next(s(21)).unwrap();
    assert_eq!(at_once(&mut budget, s(609)), 1);
    assert_eq!(at_once(&mut budget, s(611)), 20, "ten minutes after the last sign of it");
    let mut budget = Budget::new(200, s(0));
    (0..10).for_each(|time| budget.throttled(s(3 * time), s(3 * time)));
    assert_eq!(at_once(&mut budget, s(1_000)), 1, "not before the pace is the old one");
}

#[test]
fn the_pace_is_strained_by_what_others_have_taken() {
    let take = |budget: &mut Budget, logins| {
        for _ in 0..logins {
            budget.ask(Priority::Client, s(0));
            budget.next(s(0)).unwrap();
        }
    };
    let mut budget = Budget::new(20, s(0));
    take(&mut budget, 11);
    assert!(!budget.is_strained(s(0), s(0)));
    take(&mut budget, 1);
    assert!(budget.is_strained(s(0), s(0)));
    assert!(!budget.is_strained(s(1), s(1)), "full again");
    assert!(budget.is_strained(s(0), s(9)), "it was while that login was under way, however long that took");
    budget.throttled(s(10), s(10));
    assert!(!budget.is_strained(s(10), s(10)), "the halved pace is no sign by itself");
    let others = [(); 2].map(|()| budget.ask(Priority::Client, s(11)));
    assert_eq!(budget.next(s(11)).map(|turn| turn.ticket), Some(others[0]));
    assert_eq!(budget.next(s(12)).map(|turn| turn.ticket), Some(others[1]));
    assert!(budget.is_strained(s(12), s(13)), "they come as fast as the pace lets them");
    assert!(!budget.is_strained(s(13), s(13)));
    let mut least = Budget::new(1, s(0));
    take(&mut least, 1);
    assert!(!least.is_strained(s(0), s(0)), "one's own turn is none either");
    least.ask(Priority::Recycling, s(0));
    assert!(least.is_strained(s(0), s(0)), "others wait for theirs");
}

#[test]
fn a_reload_sets_another_pace() {
    let mut budget = Budget::new(20, s(0));
    budget.set_rate_max(5, s(0));
    assert_eq!(budget.rate(), 5);
    budget.throttled(s(0), s(0));
    budget.set_rate_max(50, s(1));
    assert_eq!(budget.rate(), 2, "what was learnt is kept");
    assert_eq!(Budget::new(0, s(0)).rate(), 1);
}

/// How an endpoint throttles; each lets so many logins a second through at the most.
#[derive(Clone, Copy, Debug)]
enum Throttle {
    /// One in each part of a second, counted from the last that was let through.
    Spacing,
    /// One in each part of a second, counted by the clock.
    Slots,
    /// As many as it lets through within the second before.
    Window,
}

struct Endpoint {
    throttle: Throttle,
    most: u64,
    taken_at: VecDeque<Micros>,
}

impl Endpoint {
    fn takes(&mut self, now: Micros) -> bool {
        self.taken_at.retain(|at| now.since(*at) < s(1));
        let slot = |at: Micros| at.0 * self.most / 1_000_000;
        let last = self.taken_at.back();
        let takes = match self.throttle {
            Throttle::Spacing => last.is_none_or(|at| now.since(*at).0 * self.most >= 1_000_000),
            Throttle::Slots => last.is_none_or(|at| slot(*at) != slot(now)),
            Throttle::Window => self.taken_at.len() < self.most as usize,
        };
        if takes {
            self.taken_at.push_back(now);
        }
        takes
    }
}

/// Logins are wanted without end for `busy`, then none for `rest`, and so on. Each is on its way for `slow`,
/// and up to a twentieth of the time between two that pass longer.
#[derive(Clone, Copy, Debug)]
struct Demand {
    busy: Micros,
    rest: Micros,
}

impl Demand {
    /// From `at` on: when one is wanted first.
    fn next(self, at: Micros) -> Micros {
        let period = self.busy.0 + self.rest.0;
        if at.0 % period < self.busy.0 { at } else { Micros((at.0 / period + 1) * period) }
    }

    /// Which part of all time is busy.
    fn share(self) -> f64 {
        self.busy.0 as f64 / (self.busy.0 + self.rest.0) as f64
    }
}

/// What became of logins from 200 s on, until 500 s: how many were let through, and how many were not.
fn logins_at(endpoint: &mut Endpoint, rate_max: u32, slow: Micros, demand: Demand) -> (f64, f64) {
    let mut budget = Budget::new(rate_max, s(0));
    let mut dice = fastrand::Rng::with_seed(slow.0);
    let mut under_way: VecDeque<[Micros; 2]> = VecDeque::new();
    let (mut now, mut taken, mut refused) = (s(0), 0.0, 0.0);
    while now < s(500) {
        if budget.waiting() == 0 && demand.next(now) == now {
            budget.ask(Priority::Client, now);
        }
        let turn_at = budget.next_at(now).map_or(demand.next(now), |at| at.max(now));
        let verdict_at = under_way.front().map(|[_, verdict_at]| *verdict_at);
        now = turn_at.min(verdict_at.unwrap_or(Micros::NEVER)).max(now);
        if verdict_at.is_some_and(|at| at <= now) {
            let [begun_at, _] = under_way.pop_front().expect("it is under way");
            let takes = endpoint.takes(now);
            let counts = f64::from(u8::from(now >= s(200)));
            if takes {
                taken += counts;
            } else {
                refused += counts;
                budget.throttled(begun_at, now);
            }
        } else if budget.next(now).is_some() {
            let jitter = Micros(dice.u64(..=50_000 / endpoint.most));
            under_way.push_back([now, now + slow + jitter]);
        }
    }
    (taken, refused)
}

fn any_throttle() -> impl Strategy<Value = Throttle> {
    prop_oneof![Just(Throttle::Spacing), Just(Throttle::Slots), Just(Throttle::Window)]
}

fn any_demand() -> impl Strategy<Value = Demand> {
    let rest_ms = prop_oneof![1 => Just(0), 2 => 100u64..5_000];
    (2_000u64..20_000, rest_ms).prop_map(|(busy_ms, rest_ms)| Demand {
        busy: Micros::from_millis(busy_ms),
        rest: Micros::from_millis(rest_ms),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// However the endpoint throttles, and whether logins are wanted all the time or now and then.
    #[test]
    fn the_pace_settles_at_what_the_endpoint_lets_through(
        (most, rate_max) in (1u64..=50).prop_flat_map(|most| (Just(most), (most as u32).max(20)..=60)),
        slow_ms in 1u64..3000,
        throttle in any_throttle(),
        demand in any_demand(),
    ) {
        let mut endpoint = Endpoint { throttle, most, taken_at: VecDeque::new() };
        let slow = Micros::from_millis(slow_ms);
        let (taken, refused) = logins_at(&mut endpoint, rate_max, slow, demand);
        let could = 300.0 * most as f64 * demand.share();
        prop_assert!(taken > 0.8 * could, "{taken} of {could}, {refused} refused");
        prop_assert!(refused < 0.3 * taken + 40.0, "{refused} refused, {taken} taken");
    }
}

proptest! {
    #[test]
    fn no_second_sees_more_than_burst_and_pace(
        rate in 1u32..50,
        asks in prop::collection::vec((0u64..3_000_000, 0usize..3), 1..200),
    ) {
        let mut budget = Budget::new(rate, s(0));
        let mut now = s(0);
        let mut turns = Vec::new();
        for (gap, priority) in asks {
            budget.ask(Priority::ALL[priority], now);
            while budget.next(now).is_some() {
                turns.push(now);
            }
            now = now + Micros(gap);
        }
        while let Some(at) = budget.next_at(now) {
            prop_assert!(at >= now);
            now = at;
            while budget.next(now).is_some() {
                turns.push(now);
            }
        }
        for (index, from) in turns.iter().enumerate() {
            let within = turns[index..].iter().filter(|at| at.since(*from) < s(1)).count();
            prop_assert!(within <= 2 * rate as usize, "{within} in a second at {rate}/s");
        }
    }

    #[test]
    fn any_order_of_time_is_survived(times: Vec<(u64, u8)>) {
        let mut budget = Budget::new(7, s(0));
        for (at, what) in times {
            match what % 4 {
                0 => { budget.ask(Priority::Client, Micros(at)); }
                1 => budget.throttled(Micros(at), Micros(at)),
                2 => { budget.next_at(Micros(at)); }
                _ => { budget.next(Micros(at)); }
            }
            prop_assert!((1..=7).contains(&budget.rate()));
        }
    }
}

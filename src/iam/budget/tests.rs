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
    assert_eq!(budget.rate(), 8);
    budget.fill(s(1000));
    assert_eq!(budget.rate(), 20);
    for second in 2000..2100 {
        budget.throttled(s(second * 3), s(second * 3));
    }
    assert_eq!(budget.rate(), 1, "never to nothing");
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

/// Logins that an endpoint has taken within the last second.
struct Endpoint {
    most: usize,
    taken_at: VecDeque<Micros>,
}

impl Endpoint {
    fn takes(&mut self, now: Micros) -> bool {
        self.taken_at.retain(|at| now.since(*at) < s(1));
        let takes = self.taken_at.len() < self.most;
        if takes {
            self.taken_at.push_back(now);
        }
        takes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Logins are wanted without end, each takes `slow_ms` and is refused beyond what the endpoint takes.
    #[test]
    fn the_pace_settles_near_what_the_endpoint_takes(
        (rate, most) in (20u32..60).prop_flat_map(|rate| (Just(rate), 2..=rate as usize)),
        slow_ms in 1u64..3000,
    ) {
        let mut budget = Budget::new(rate, s(0));
        let mut endpoint = Endpoint { most, taken_at: VecDeque::new() };
        let mut under_way = VecDeque::new();
        let (mut now, mut taken, mut refused) = (s(0), 0.0, 0.0);
        while now < s(500) {
            if budget.waiting() == 0 {
                budget.ask(Priority::Client, now);
            }
            let slow = Micros::from_millis(slow_ms);
            let verdict_at = under_way.front().map(|begun_at: &Micros| *begun_at + slow);
            let turn_at = budget.next_at(now).expect("one waits");
            now = turn_at.min(verdict_at.unwrap_or(Micros::NEVER)).max(now);
            if verdict_at.is_some_and(|at| at <= now) {
                let begun_at = under_way.pop_front().expect("it is under way");
                let is_late = now >= s(200);
                match endpoint.takes(now) {
                    true => taken += f64::from(u8::from(is_late)),
                    false => {
                        refused += f64::from(u8::from(is_late));
                        budget.throttled(begun_at, now);
                    }
                }
            }
            while budget.next(now).is_some() {
                under_way.push_back(now);
                budget.ask(Priority::Client, now);
            }
        }
        let could = 300.0 * most as f64;
        prop_assert!(taken > 0.4 * could, "{taken} of {could}");
        prop_assert!(refused < 0.25 * taken, "{refused} refused, {taken} taken");
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

//! What it costs to read the clock, which a worker does once a turn: to be compared with that of the standard
//! library, which stops while the machine sleeps.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::base::Micros;
use pgweir::io::Clock;
use std::time::Instant;

fn reading(c: &mut Criterion) {
    let (clock, instant) = (Clock::new(), Instant::now());
    c.bench_function("clock", |bencher| bencher.iter(|| clock.now()));
    c.bench_function("instant", |bencher| bencher.iter(|| Micros::from(instant.elapsed())));
}

criterion_group!(benches, reading);
criterion_main!(benches);

//! What finding the frames in a stream costs. Defends the claim that the scan is no part of the bill: a few
//! nanoseconds a frame, whatever the frame's length, since only headers are looked at (the kernel takes some
//! microseconds to receive them).
//!
//! `rows`: the answer to a query of a hundred short rows; `pipeline`: what a driver sends for ten
//! prepared statements; `large`: one row of a megabyte. Figures are for the whole buffer;
//! throughput counts its frames.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgweir::wire::{FrameHeader, encode, frontend, tags};
use std::hint::black_box;

fn frames(mut input: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(header)) = FrameHeader::read(input, u32::MAX >> 1) {
        let Some(rest) = input.get(header.frame_bytes..) else { break };
        input = rest;
        count += 1;
    }
    count
}

fn rows() -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..100 {
        encode::frame(&mut out, tags::server::DATA_ROW, |out| out.extend_from_slice(&[0; 40]));
    }
    encode::command_complete(&mut out, "SELECT 100");
    encode::ready_for_query(&mut out, b'I');
    out
}

fn pipeline() -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..10 {
        encode::frame(&mut out, tags::client::BIND, |out| {
            out.extend_from_slice(b"\0statement_7\0\0\0\0\x01\0\0\0\x0212\0\0")
        });
        encode::frame(&mut out, tags::client::EXECUTE, |out| out.extend_from_slice(&[0; 5]));
        encode::empty(&mut out, tags::client::SYNC);
    }
    out
}

fn walk(criterion: &mut Criterion) {
    let mut large = Vec::new();
    encode::frame(&mut large, tags::server::DATA_ROW, |out| out.resize(1 << 20, 0));
    let mut group = criterion.benchmark_group("frame_walk");
    for (name, input) in [("rows", rows()), ("pipeline", pipeline()), ("large", large)] {
        group.throughput(Throughput::Elements(frames(&input) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| frames(black_box(&input))));
    }
    group.finish();
    let mut bind = Vec::new();
    encode::frame(&mut bind, tags::client::BIND, |out| {
        out.extend_from_slice(b"\0statement_7\0\0\0\0\x01\0\0\0\x0212\0\0")
    });
    criterion.bench_function("frame_walk/bind_view", |bencher| {
        bencher.iter(|| frontend::bind_view(black_box(&bind[5..])).map(|view| view.map(|view| view.rest_at)));
    });
}

criterion_group!(benches, walk);
criterion_main!(benches);

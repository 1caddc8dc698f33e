//! Lines for CloudWatch: they keep its rules, and their figures are what has happened.

use crate::common::{PoolerSetup, postgres, programs, wait_until};
use std::process::Command;

#[test]
fn lines_keep_cloudwatchs_rules_and_count_what_happens() {
    let pooler = PoolerSetup::new(postgres())
        .set("emf_interval", 1)
        .set("emf_file", "emf.log")
        .set("emf_pooler", "p1")
        .start();
    let file = pooler.directory().join("emf.log");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    let of_app = |figure: &str| {
        lines().lines().any(|line| line.contains("\"Database\":\"app\"") && line.contains(figure))
    };
    let mut client = pooler.client();
    wait_until("the client is told of", || of_app("\"ClientConnections\":1,"));
    for _ in 0..7 {
        client.simple("select 1");
    }
    wait_until("its queries are told of", || {
        let counted: u64 = lines()
            .lines()
            .filter(|line| !line.contains("\"Database\":\""))
            .filter_map(|line| {
                line.split_once("\"QueryRequests\":")?.1.split([',', '}']).next()?.parse::<u64>().ok()
            })
            .sum();
        counted == 7
    });
    let whole = lines();
    let kept = pooler.directory().join("emf.kept");
    std::fs::write(&kept, &whole[..whole.rfind('\n').expect("there are lines") + 1]).expect("ours");
    let told = programs::run(
        Command::new(programs::in_repository(".venv/bin/python"))
            .arg(programs::in_repository("tests/drivers/emf_lines.py"))
            .arg(programs::in_repository("tests/data/emf.schema.json"))
            .arg(&kept),
    );
    assert!(told.contains("ClientConnections 1") && whole.contains("\"Pooler\":\"p1\""), "{told}");
}

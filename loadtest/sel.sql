\set aid random(1, 100000)
select abalance from pgbench_accounts where aid = :aid;

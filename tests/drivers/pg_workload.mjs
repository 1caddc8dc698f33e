// node-postgres (pg) through transaction pooling: its pool, named statements, transactions, errors, notices,
// cancel, large rows.

import assert from "node:assert/strict";
import pg from "pg";

const port = Number(process.env.PGWEIR_PORT);
const to = { host: "127.0.0.1", port, user: "app", password: "app-secret", database: "app" };
const LARGE_BYTES = 100 << 20;

async function transactions(client) {
  await client.query("create table node_pg (id int primary key, t text)");
  await client.query("begin");
  await client.query("insert into node_pg values ($1, $2)", [1, "one"]);
  await client.query("savepoint s");
  await assert.rejects(client.query("insert into node_pg values (1, 'again')"), { code: "23505" });
  await client.query("rollback to s");
  await client.query("commit");
  const { rows } = await client.query("select * from node_pg");
  assert.deepEqual(rows, [{ id: 1, t: "one" }]);
}

async function named(first, second) {
  for (let number = 0; number < 20; number++) {
    for (const [client, name] of [[first, "first"], [second, "second"]]) {
      const query = { name: "same-name", text: `select '${name}' as name, $1::int as n`, values: [number] };
      assert.deepEqual((await client.query(query)).rows, [{ name, n: number }]);
    }
  }
}

async function cancelled(client, other) {
  const { processID, secretKey } = client;
  const query = client.query("select pg_sleep(30)");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const messenger = new pg.Client(to).connection;
  messenger.on("connect", () => messenger.cancel(processID, secretKey));
  messenger.on("error", () => {});
  messenger.connect(port, "127.0.0.1");
  await assert.rejects(query, { code: "57014" });
  assert.equal((await other.query("select 1 as n")).rows[0].n, 1);
}

const first = new pg.Client(to);
const second = new pg.Client(to);
await first.connect();
await second.connect();
await transactions(first);
await named(first, second);
await assert.rejects(first.query("select 1/0"), { code: "22012" });
const heard = [];
first.on("notice", (notice) => heard.push(notice.message));
await first.query("do $$ begin raise notice 'listen'; end $$");
assert.deepEqual(heard, ["listen"]);
await cancelled(first, second);
const large = await first.query("select repeat('x', $1) as t", [LARGE_BYTES]);
assert.equal(large.rows[0].t.length, LARGE_BYTES);
const sent = await first.query("select length($1) as n", ["y".repeat(LARGE_BYTES)]);
assert.equal(sent.rows[0].n, LARGE_BYTES);
await first.query("drop table node_pg");
await first.end();
await second.end();

const told = new Map();
const third = new pg.Client(to);
third.connection.on("parameterStatus", (status) => told.set(status.parameterName, status.parameterValue));
await third.connect();
assert.equal(told.get("pgbouncer.pool_mode"), "transaction");
await third.end();
const console_ = new pg.Client({ ...to, user: "admin", password: "admin-secret", database: "pgbouncer" });
await console_.connect();
assert.ok((await console_.query("show pools")).rows.some((row) => row.database === "app"));
await console_.end();

const pool = new pg.Pool({ ...to, max: 20 });
await Promise.all(
  Array.from({ length: 200 }, async (_, number) => {
    const { rows } = await pool.query("select $1::int as n", [number]);
    assert.equal(rows[0].n, number);
  }),
);
await pool.end();

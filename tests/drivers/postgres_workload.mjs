// postgres.js through transaction pooling: it pipelines by itself and prepares everything under names of its own.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import postgres from "postgres";

const heard = [];
const sql = postgres({
  host: "127.0.0.1",
  port: Number(process.env.PGWEIR_PORT),
  user: "app",
  password: "app-secret",
  database: "app",
  max: 5,
  onnotice: (notice) => heard.push(notice.message),
});

await sql`create table postgres_js (n int primary key, t text)`;
await sql.begin(async (transaction) => {
  await transaction`insert into postgres_js ${transaction([{ n: 1, t: "one" }, { n: 2, t: "two" }])}`;
  await transaction
    .savepoint(async (inner) => {
      await inner`insert into postgres_js values (1, 'again')`;
    })
    .catch((error) => assert.equal(error.code, "23505"));
});
assert.equal((await sql`select count(*)::int as n from postgres_js`)[0].n, 2);

const answers = await Promise.all(Array.from({ length: 300 }, (_, number) => sql`select ${number}::int as n`));
assert.deepEqual(answers.map((rows) => rows[0].n), Array.from({ length: 300 }, (_, number) => number));

const into = await sql`copy postgres_js from stdin`.writable();
await pipeline(Readable.from(Array.from({ length: 1000 }, (_, number) => `${number + 10}\tx\n`)), into);
let out = 0;
for await (const chunk of await sql`copy postgres_js to stdout`.readable()) {
  out += chunk.toString().split("\n").length - 1;
}
assert.equal(out, 1002);

await assert.rejects(sql`select 1/0`, { code: "22012" });
const sleeping = sql`select pg_sleep(30)`.execute();
setTimeout(() => sleeping.cancel(), 300);
await assert.rejects(sleeping, { code: "57014" });

await sql`do $$ begin raise notice 'listen'; end $$`;
assert.ok(heard.includes("listen"), `notices: ${heard}`);
const LARGE_BYTES = 100 << 20;
assert.equal((await sql`select repeat('x', ${LARGE_BYTES}) as t`)[0].t.length, LARGE_BYTES);

let seen = 0;
await sql`select g from generate_series(1, 1000) g`.cursor(100, (rows) => {
  seen += rows.length;
});
assert.equal(seen, 1000);
await sql`drop table postgres_js`;
assert.equal(sql.parameters["pgbouncer.pool_mode"], "transaction");
const console_ = postgres({
  host: "127.0.0.1",
  port: Number(process.env.PGWEIR_PORT),
  user: "admin",
  password: "admin-secret",
  database: "pgbouncer",
  max: 1,
  fetch_types: false, // it would prepare a statement for that
});
assert.ok((await console_.unsafe("show pools").simple()).some((row) => row.database === "app"));
await console_.end();
await sql.end();

// postgres.js' `subscribe` through the pooler: it replicates logically over a connection of its own.

import assert from "node:assert/strict";
import postgres from "postgres";

const sql = postgres({
  host: "127.0.0.1",
  port: Number(process.env.PGWEIR_PORT),
  user: "replica",
  database: process.env.PGWEIR_DATABASE,
  max: 2,
});

const heard = [];
let told;
const all = new Promise((resolve) => (told = resolve));
const { unsubscribe } = await sql.subscribe("*:heard", (row, { command }) => {
  heard.push([command, row.n]);
  if (heard.length === 3) told();
});
await sql`insert into heard values (1), (2)`;
await sql`delete from heard where n = 1`;
await all;
assert.deepEqual(heard, [["insert", 1], ["insert", 2], ["delete", 1]]);
await unsubscribe();
await sql.end();

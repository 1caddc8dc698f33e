// Logs in by node-postgres with a token as the password. Arguments: port, user, file of authorities. The
// token comes in by the variable TOKEN.

import { readFileSync } from "node:fs";
import pg from "pg";

const [port, user, authorities] = process.argv.slice(2);
const ssl = { ca: readFileSync(authorities, "utf8") };
const client = new pg.Client({
    host: "localhost", port: Number(port), user, password: process.env.TOKEN, database: "app", ssl,
});
await client.connect();
const { rows } = await client.query("select current_user as role");
console.log("node-postgres", rows[0].role);
await client.end();

"""asyncpg through transaction pooling. It prepares everything it runs, under names of its own."""

import asyncio

import asyncpg
from common import ADMIN, ADMIN_PASSWORD, CONSOLE, DATABASE, HOST, LARGE_BYTES, PASSWORD, PORT, USER, expect


async def transactions(conn):
    await conn.execute("create table asyncpg_rows (id int primary key, t text)")
    async with conn.transaction():
        await conn.execute("insert into asyncpg_rows values ($1, $2)", 1, "one")
        try:
            async with conn.transaction():
                await conn.execute("insert into asyncpg_rows values (1, 'again')")
        except asyncpg.UniqueViolationError:
            pass
    expect("rows", [tuple(row) for row in await conn.fetch("select * from asyncpg_rows")], [(1, "one")])
    async with conn.transaction():
        got = [row["g"] async for row in conn.cursor("select g from generate_series(1, 500) g", prefetch=50)]
    expect("a cursor", got, list(range(1, 501)))


async def prepared(conn):
    statement = await conn.prepare("select $1::int * 2")
    for number in range(50):
        expect("a prepared statement", await statement.fetchval(number), number * 2)
    for number in range(150):  # beyond asyncpg's cache: it closes statements
        expect("many statements", await conn.fetchval(f"select {number}"), number)


async def copy(conn):
    await conn.execute("create table asyncpg_copied (n int, t text)")
    rows = [(number, "x" * 20) for number in range(20_000)]
    expect("copied in", await conn.copy_records_to_table("asyncpg_copied", records=rows), "COPY 20000")
    size = 0

    async def count(data):
        nonlocal size
        size += data.count(b"\n")

    await conn.copy_from_query("select * from asyncpg_copied", output=count)
    expect("copied out", size, 20_000)


async def errors_and_cancel(conn):
    try:
        await conn.fetch("select 1/0")
    except asyncpg.DivisionByZeroError:
        pass
    try:
        await conn.execute("select pg_sleep(30)", timeout=0.3)
    except asyncio.TimeoutError:
        pass
    else:
        raise AssertionError("the query was not cancelled")
    expect("after a cancel", await conn.fetchval("select 1"), 1)


async def together(pool):
    async def one(number):
        async with pool.acquire() as conn:
            for _ in range(10):
                expect("own answer", await conn.fetchval("select $1::int", number), number)

    await asyncio.gather(*(one(number) for number in range(50)))


async def pooler(conn):
    expect("the pool's mode", getattr(conn.get_settings(), "pgbouncer.pool_mode"), "transaction")
    to = dict(host=HOST, port=PORT, user=ADMIN, password=ADMIN_PASSWORD, database=CONSOLE)
    console = await asyncpg.connect(**to)
    expect("the console's tag", await console.execute("show pools"), "SHOW")
    await console.close()


async def main():
    to = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE)
    conn = await asyncpg.connect(**to)
    heard = []
    conn.add_log_listener(lambda _, message: heard.append(message.message))
    await transactions(conn)
    await prepared(conn)
    await copy(conn)
    await errors_and_cancel(conn)
    expect("a large row", len(await conn.fetchval("select repeat('x', $1)", LARGE_BYTES)), LARGE_BYTES)
    expect("a large parameter", await conn.fetchval("select length($1)", "y" * LARGE_BYTES), LARGE_BYTES)
    await conn.execute("do $$ begin raise notice 'listen'; end $$")
    await asyncio.sleep(0)
    expect("notices", heard, ["listen"])
    async with asyncpg.create_pool(min_size=5, max_size=10, reset=None, **to) as pool:
        await together(pool)
    await pooler(conn)
    await conn.execute("drop table asyncpg_rows, asyncpg_copied")
    await conn.close()


asyncio.run(main())

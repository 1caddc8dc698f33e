"""Drivers say for which request they work: psycopg, which prepares what comes often, and asyncpg, whose pool
resets what it takes back."""

import asyncio

import asyncpg
import psycopg
from common import DATABASE, HOST, PASSWORD, PORT, USER

with psycopg.connect(
    host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
) as conn:
    for _ in range(8):
        for request in ("a", "b"):
            conn.execute(f"SET pgweir.context = 'traceparent=of {request}' /* framework='x' */")
            conn.execute("select 1")


async def pooled():
    pool = await asyncpg.create_pool(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, min_size=1, max_size=1
    )
    async with pool.acquire() as conn:
        await conn.execute("SET pgweir.context = 'traceparent=of the first'")
        await conn.fetch("select 1")
    async with pool.acquire() as conn:
        await conn.fetch("select 2")
    await pool.close()


asyncio.run(pooled())

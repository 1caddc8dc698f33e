"""Logs in with a token as the password: psycopg, asyncpg, pg8000. Arguments: port, user, file of authorities.

The token comes in by the variable TOKEN. Prints what each is told to be.
"""

import asyncio
import os
import ssl
import sys

import asyncpg
import pg8000.dbapi
import psycopg

port, user, authorities = int(sys.argv[1]), sys.argv[2], sys.argv[3]
token = os.environ["TOKEN"]
context = ssl.create_default_context(cafile=authorities)

with psycopg.connect(
    host="localhost", port=port, user=user, password=token, dbname="app", sslmode="verify-full", sslrootcert=authorities
) as connection:
    print("psycopg", *connection.execute("select current_user").fetchone())


async def by_asyncpg():
    connection = await asyncpg.connect(
        host="localhost", port=port, user=user, password=token, database="app", ssl=context
    )
    print("asyncpg", await connection.fetchval("select current_user"))
    await connection.close()


asyncio.run(by_asyncpg())

connection = pg8000.dbapi.connect(
    host="localhost", port=port, user=user, password=token, database="app", ssl_context=context
)
cursor = connection.cursor()
cursor.execute("select current_user")
print("pg8000", *cursor.fetchone())
connection.close()

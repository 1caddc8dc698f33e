"""pg8000, a pure Python driver that keeps named statements, and SQLAlchemy on top of it and of psycopg."""

import io

import pg8000.dbapi
import pg8000.native
import sqlalchemy
from common import ADMIN, ADMIN_PASSWORD, CONSOLE, DATABASE, HOST, PASSWORD, PORT, USER
from common import expect, expect_own_pool

to = dict(user=USER, host=HOST, port=PORT, database=DATABASE, password=PASSWORD)


def native():
    conn = pg8000.native.Connection(**to)
    conn.run("create table pg8000_rows (n int)")
    conn.run("start transaction")
    conn.run("insert into pg8000_rows values (:n)", n=1)
    conn.run("rollback")
    statement = conn.prepare("select :n + 1")
    for number in range(20):
        expect("a prepared statement", statement.run(n=number), [[number + 1]])
    statement.close()
    conn.run("copy pg8000_rows from stdin", stream=io.BytesIO(b"".join(b"%d\n" % n for n in range(1000))))
    out = io.BytesIO()
    conn.run("copy pg8000_rows to stdout", stream=out)
    expect("copied", out.getvalue().count(b"\n"), 1000)
    try:
        conn.run("select 1/0")
    except pg8000.native.DatabaseError as error:
        expect("the error", error.args[0]["C"], "22012")
    conn.run("do $$ begin raise notice 'listen'; end $$")
    expect("notices", conn.notices[-1][b"M"], b"listen")
    conn.run("drop table pg8000_rows")
    conn.close()


def sqlalchemy_over(driver):
    engine = sqlalchemy.create_engine(f"postgresql+{driver}://{USER}:{PASSWORD}@{HOST}:{PORT}/{DATABASE}", pool_size=3)
    with engine.begin() as conn:
        conn.execute(sqlalchemy.text("create table alchemy (n int, t text)"))
        rows = [{"n": number, "t": "x"} for number in range(100)]
        conn.execute(sqlalchemy.text("insert into alchemy values (:n, :t)"), rows)
    with engine.connect() as conn:
        count = conn.execute(sqlalchemy.text("select count(*), sum(n) from alchemy")).one()
        expect(f"rows through {driver}", tuple(count), (100, 4950))
        conn.rollback()
    with engine.begin() as conn:
        conn.execute(sqlalchemy.text("drop table alchemy"))
    engine.dispose()


def pooler():
    conn = pg8000.native.Connection(**to)
    expect("the pool's mode", conn.parameter_statuses["pgbouncer.pool_mode"], "transaction")
    conn.close()
    to_console = dict(user=ADMIN, host=HOST, port=PORT, database=CONSOLE, password=ADMIN_PASSWORD)
    console = pg8000.native.Connection(**to_console)
    expect_own_pool(console.run("show pools"))
    console.close()


native()
sqlalchemy_over("pg8000")
sqlalchemy_over("psycopg")
pooler()

"""psycopg 3 through transaction pooling: transactions, server-side prepared statements, pipelines, COPY, errors,
cancel, large rows, notices."""

import threading
import time

import psycopg
from common import ADMIN, ADMIN_PASSWORD, CONSOLE, DATABASE, HOST, LARGE_BYTES, PASSWORD, PORT, USER
from common import expect, expect_own_pool


def connect(**more):
    return psycopg.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, **more)


def transactions(conn):
    conn.execute("create table psycopg_rows (id int primary key, t text)")
    with conn.transaction():
        conn.execute("insert into psycopg_rows values (1, 'one')")
        try:
            with conn.transaction():
                conn.execute("insert into psycopg_rows values (1, 'again')")
        except psycopg.errors.UniqueViolation:
            pass
    try:
        with conn.transaction():
            conn.execute("insert into psycopg_rows values (2, 'two')")
            raise RuntimeError("changed my mind")
    except RuntimeError:
        pass
    expect("rows after rollbacks", conn.execute("select * from psycopg_rows").fetchall(), [(1, "one")])


def prepared(conn, other):
    for number in range(20):
        for which, name in ((conn, "first"), (other, "second")):
            got = which.execute(f"select '{name}', %s::int + 1", (number,), prepare=True).fetchone()
            expect("a prepared statement", got, (name, number + 1))
    for number in range(150):  # beyond psycopg's own cache of 100: it deallocates
        expect("many statements", conn.execute(f"select {number}", prepare=True).fetchone(), (number,))


def pipelines(conn):
    with conn.pipeline():
        cursors = [conn.execute("select %s::int", (number,)) for number in range(50)]
    expect("a pipeline", [cursor.fetchone()[0] for cursor in cursors], list(range(50)))
    try:
        with conn.pipeline():
            conn.execute("select 1")
            conn.execute("select 1/0")
            conn.execute("select 2")
    except psycopg.errors.DivisionByZero:
        pass
    else:
        raise AssertionError("a pipeline with an error did not fail")
    expect("after a failed pipeline", conn.execute("select 3").fetchone(), (3,))


def copy(conn):
    conn.execute("create table psycopg_copied (n int, t text)")
    with conn.cursor() as cursor:
        with cursor.copy("copy psycopg_copied from stdin") as into:
            for number in range(20_000):
                into.write_row((number, "x" * 50))
        with cursor.copy("copy psycopg_copied to stdout") as out:
            expect("rows copied out", sum(1 for _ in out.rows()), 20_000)
        try:
            with cursor.copy("copy psycopg_copied from stdin") as into:
                into.write("not a number\tx\n")
        except psycopg.errors.InvalidTextRepresentation:
            pass
        else:
            raise AssertionError("a broken COPY did not fail")
    expect("rows copied in", conn.execute("select count(*) from psycopg_copied").fetchone(), (20_000,))


def cancel(conn):
    def later():
        time.sleep(0.3)
        conn.cancel()

    thread = threading.Thread(target=later)
    thread.start()
    try:
        conn.execute("select pg_sleep(30)")
    except psycopg.errors.QueryCanceled:
        pass
    else:
        raise AssertionError("the query was not cancelled")
    thread.join()
    expect("after a cancel", conn.execute("select 1").fetchone(), (1,))


def large(conn):
    row = conn.execute("select repeat('x', %s)", (LARGE_BYTES,)).fetchone()
    expect("a large row's length", len(row[0]), LARGE_BYTES)
    sent = conn.execute("select length(%s)", ("y" * LARGE_BYTES,)).fetchone()
    expect("a large parameter's length", sent, (LARGE_BYTES,))


def notices(conn):
    heard = []
    conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    conn.execute("do $$ begin raise notice 'listen'; end $$")
    expect("notices", heard, ["listen"])


def pooler(conn):
    names = ("pgbouncer.pool_mode", "pgbouncer.max_prepared_statements")
    told = [conn.info.parameter_status(name) for name in names]
    expect("what the pooler tells of itself", told, ["transaction", "200"])
    to = dict(host=HOST, port=PORT, user=ADMIN, password=ADMIN_PASSWORD, dbname=CONSOLE)
    with psycopg.connect(autocommit=True, cursor_factory=psycopg.ClientCursor, **to) as console:
        expect_own_pool(console.execute("show pools").fetchall())


with connect(autocommit=True) as conn, connect(autocommit=True) as other:
    transactions(conn)
    prepared(conn, other)
    pipelines(conn)
    copy(conn)
    cancel(conn)
    large(conn)
    notices(conn)
    pooler(conn)
    conn.execute("drop table psycopg_rows, psycopg_copied")

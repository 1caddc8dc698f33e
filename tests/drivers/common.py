"""What the Python drivers' workloads share: where the pooler listens, and a check that says what went wrong."""

import os

HOST = "127.0.0.1"
PORT = int(os.environ["PGWEIR_PORT"])
USER = "app"
DATABASE = "app"
PASSWORD = "app-secret"
ADMIN = "admin"
ADMIN_PASSWORD = "admin-secret"
CONSOLE = "pgbouncer"
LARGE_BYTES = 100 << 20


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.200}, wanted {wanted!r:.200}")


def expect_own_pool(rows):
    """Of SHOW POOLS: the pool that the workload has used is there."""
    expect("its own pool", [tuple(row[:2]) for row in rows if row[0] == DATABASE], [(DATABASE, USER)])

#!/usr/bin/env python3
"""Compares pgweir with a PgBouncer on the same PostgreSQL, in interleaved rounds, and
writes the page's table.

    loadtest/run.py [--quick] [--page] [--minutes N] [--pgweir FILE] [--pgbouncer FILE] [--before FILE]

Everything runs on loopback under one unprivileged account (as root: `postgres`), in a temporary directory
that is removed. A cell is a protocol, a number of clients, and plain or TLS. Within a round every variant
runs every cell once, the variants of a cell directly after one another and in an order that rotates from
round to round; a ratio is taken within its round and cell, and the table shows the median of the rounds with
their spread, so that a machine whose speed drifts does not favour anybody.

What is measured, after a second of warm-up: transactions per second and the latency of a sample of
transactions, by pgbench; the CPU time of the pooler, from /proc/PID/task/*/schedstat (nanoseconds); the CPU
time of PostgreSQL and pgbench for the same work. "cpu norm" divides the pooler's CPU time by that of all the
others in the same run before the ratio is taken, which cancels drift of the machine; believe a result where
raw and norm agree. Memory is the resident set for each of many idle clients that have run one query.

With --before, an earlier pgweir (one worker) stands in PgBouncer's place: what a change costs, cell by cell.
Two programs that are one and the same show what the machine's noise is.

Only the Python standard library is needed. setup: tests/setup.sh loadtest.
"""

import argparse
import datetime
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import idle  # noqa: E402
import report  # noqa: E402
from machine import Account, Process, cpu_ns, find_program, free_port, raise_descriptor_limit, wait_for  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
POOL_SIZE = 20
WARM_UP_S = 1

# protocol -> script; the protocols with parameters read one row by its key
SCRIPTS = {"simple": "select1.sql", "extended": "sel.sql", "prepared": "sel.sql"}
CLIENTS = (1, 8, 32, 128, 500)


def arguments():
    parse = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parse.add_argument("--quick", action="store_true", help="a short look: few cells, one round, under three minutes")
    parse.add_argument("--page", action="store_true", help="put the table into docs/benchmarks.md between its markers")
    parse.add_argument("--minutes", type=float, default=24, help="stop starting rounds after so long (default 24)")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=int, default=3, help="measured seconds of each run")
    parse.add_argument("--clients", type=lambda text: tuple(int(n) for n in text.split(",")), default=None)
    parse.add_argument("--protocols", type=lambda text: text.split(","), default=list(SCRIPTS))
    parse.add_argument("--transports", type=lambda text: text.split(","), default=["plain", "tls"])
    parse.add_argument("--idle-clients", type=int, default=2000)
    parse.add_argument("--pgweir", default=None, help="another program than the release build of this tree")
    parse.add_argument("--pgbouncer", default=None, help="default: the one on PATH or in /usr/sbin")
    parse.add_argument("--before", default=None, help="an earlier pgweir to compare with, in place of a PgBouncer")
    chosen = parse.parse_args()
    if chosen.before and chosen.page:
        parse.error("the page's table compares with PgBouncer: --before and --page exclude each other")
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.idle_clients = 1, 2, min(chosen.idle_clients, 500)
        chosen.clients = chosen.clients or (8, 128)
    chosen.clients = chosen.clients or CLIENTS
    return chosen


class Variant:
    """One pooler under test: its program, the settings that are its own, and where it runs."""

    def __init__(self, name, program, extra):
        self.name, self.program, self.extra = name, program, extra
        self.users = '"postgres" ""\n'
        self.port = None
        self.process = None

    def version(self):
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout
        return said.splitlines()[0] if said else "unknown"

    def prepares(self):
        """Whether it keeps prepared statements in transaction pooling: PgBouncer since 1.21."""
        found = re.match(r"PgBouncer 1\.(\d+)", self.version())
        return not found or int(found[1]) >= 21

    def start(self, account, directory, postgres_port, tag):
        self.port = self.port or free_port()
        home = directory / f"{self.name.replace(' ', '-')}-{tag}"
        home.mkdir()
        program = home / "program"
        shutil.copy(self.program, program)
        program.chmod(0o755)
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": home, "auth_type": "trust",
            "auth_file": home / "userlist.txt", "pool_mode": "transaction", "default_pool_size": POOL_SIZE,
            "max_client_conn": 10000, "log_connections": 0, "log_disconnections": 0, "server_tls_sslmode": "disable",
            "server_lifetime": 86400, "server_idle_timeout": 86400, "listen_backlog": 4096,
            "client_tls_sslmode": "prefer", "client_tls_key_file": directory / "tls.key",
            "client_tls_cert_file": directory / "tls.crt",
        }  # fmt: skip
        if self.prepares():
            settings["max_prepared_statements"] = 200
        settings.update(self.extra)
        lines = ["[databases]", f"bench = host=127.0.0.1 port={postgres_port} dbname=bench", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        (home / "pooler.ini").write_text("\n".join(lines) + "\n")
        (home / "userlist.txt").write_text(self.users)
        account.own(home)
        self.process = Process(account, [program, home / "pooler.ini"], home / "log", signal.SIGTERM)
        wait_for(self.name, self.process, self.answers)
        return self

    def answers(self):
        target = ["psql", "-X", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "bench"]
        target += ["-c", "select 1"]
        return subprocess.run(target, capture_output=True).returncode == 0

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def must_live(self):
        os.kill(self.process.pid, 0)

    def log(self):
        return self.process.log()

    def stop(self):
        if self.process:
            self.process.stop()


class PostgreSQL:
    """The one PostgreSQL behind all poolers."""

    def __init__(self, account, directory):
        self.port = free_port()
        data = directory / "data"
        account.run([find_program("initdb"), "-D", data, "--no-sync", "--auth=trust", "-U", "postgres", "-E", "UTF8"])
        flags = ["fsync=off", "synchronous_commit=off", "max_connections=400", "listen_addresses=127.0.0.1",
                 "shared_buffers=128MB", "autovacuum=off"]  # fmt: skip
        command = [find_program("postgres"), "-D", data, "-p", str(self.port), "-k", directory]
        for flag in flags:
            command += ["-c", flag]
        self.process = Process(account, command, directory / "postgres.log", signal.SIGINT)
        ready = [find_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_for("PostgreSQL", self.process, lambda: subprocess.run(ready).returncode == 0)
        target = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        account.run(["psql", "-X", "-q", *target, "-c", "create database bench"])
        account.run([find_program("pgbench"), *target, "-i", "-q", "-s", "1", "bench"])

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in self.process.tree())


def run_cell(account, directory, postgres, variant, protocol, clients, transport, seconds, script=None):
    """One pgbench run, of the protocol's script or another; the figures of its measured part."""
    for old in directory.glob("pgbench_log*"):
        old.unlink()
    target = f"host=127.0.0.1 port={variant.port} user=postgres dbname=bench"
    target += " sslmode=require" if transport == "tls" else " sslmode=disable"
    script = directory / (script or SCRIPTS[protocol])
    command = [find_program("pgbench"), "-n", "-M", protocol, "-c", str(clients), "-j", "1", "-f", script, "-P", "1",
               "-T", str(WARM_UP_S + seconds), "-l", "--sampling-rate=0.1", f"--log-prefix={directory}/pgbench_log",
               target]  # fmt: skip
    bench = account.popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    counted, marks, other_lines = 0.0, [], []

    def look():
        return time.time(), variant.cpu_ns(), postgres.cpu_ns() + cpu_ns(bench.pid)

    last = 0.0
    for line in bench.stderr:
        found = re.match(rb"progress: ([\d.]+) s, ([\d.]+) tps", line)
        if not found:
            other_lines.append(line.decode(errors="replace"))
            continue
        at, tps = float(found[1]), float(found[2])
        if marks:
            counted += tps * (at - last)
        if len(marks) < 1 + seconds:
            marks.append(look())
        last = at
        if len(marks) == 1 + seconds:
            break
    other_lines += [line.decode(errors="replace") for line in bench.stderr]
    status = bench.wait()
    if status != 0 or len(marks) < 2:
        raise RuntimeError(f"pgbench ended with {status}: {''.join(other_lines)[-500:]}\n{variant.log()[-500:]}")
    (start, pooler_0, rest_0), (end, pooler_1, rest_1) = marks[0], marks[-1]
    latencies = []
    for log in directory.glob("pgbench_log*"):
        for line in log.read_text().splitlines():
            fields = line.split()
            if start <= int(fields[4]) + int(fields[5]) / 1e6 <= end:
                latencies.append(int(fields[2]))
    latencies.sort()
    counted = max(counted, 1.0)
    return {
        "variant": variant.name, "protocol": protocol, "clients": clients, "transport": transport,
        "tps": counted / (end - start),
        "p50_us": latencies[len(latencies) // 2] if latencies else None,
        "p99_us": latencies[len(latencies) * 99 // 100] if latencies else None,
        "cpu_us": (pooler_1 - pooler_0) / counted / 1000,
        "rest_us": (rest_1 - rest_0) / counted / 1000,
    }  # fmt: skip


def cells(chosen):
    for transport in chosen.transports:
        for protocol in chosen.protocols:
            for clients in chosen.clients:
                yield protocol, clients, transport


def rounds(chosen, account, directory, postgres, variants):
    """All measured runs, round by round, as long as the time allows."""
    begun, results = time.time(), []
    for number in range(chosen.rounds):
        before = time.time()
        for index, (protocol, clients, transport) in enumerate(cells(chosen)):
            turn = (number + index) % len(variants)
            for variant in variants[turn:] + variants[:turn]:
                if protocol == "prepared" and not variant.prepares():
                    continue
                if variant.name == report.TWO and transport == "tls":
                    continue  # two workers are compared in plain only, to keep the time
                figures = run_cell(account, directory, postgres, variant, protocol, clients, transport, chosen.seconds)
                results.append({"round": number, **figures})
                print(report.line(results[-1]), flush=True)
        took = time.time() - before
        if (time.time() - begun + took) / 60 > chosen.minutes:
            print(f"stopping after {number + 1} rounds: the next would exceed {chosen.minutes} minutes")
            break
    return results


def idle_memory(chosen, account, directory, postgres, variants):
    """Bytes resident for each idle client, on fresh instances."""
    results = []
    for variant in variants:
        if variant.name == report.TWO:
            continue
        for transport, clients in (("plain", chosen.idle_clients), ("tls", min(500, chosen.idle_clients))):
            if transport not in chosen.transports:
                continue
            fresh = Variant(variant.name, variant.program, variant.extra)
            fresh.start(account, directory, postgres.port, f"idle-{transport}")
            figure = idle.bytes_per_client(fresh.process.pid, fresh.port, clients, transport == "tls")
            fresh.stop()
            results.append({"variant": variant.name, "transport": transport, "clients": clients, "bytes": figure})
            print(f"{variant.name:10} {transport:5} {clients} idle clients: {figure:.0f} bytes each", flush=True)
    return results


def make_certificate(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "2", "-subj", "/CN=localhost", "-keyout", directory / "tls.key", "-out", directory / "tls.crt"],
        check=True, capture_output=True,
    )  # fmt: skip


def compared(chosen, pgweir):
    """The poolers of a run: what the others are compared with comes first."""
    if chosen.before:
        return [Variant(report.BEFORE, chosen.before, {"workers": 1}), Variant(report.ONE, pgweir, {"workers": 1})]
    pgbouncer = find_pgbouncer(chosen.pgbouncer)
    # A PgBouncer in pgweir's place, to see what the method says of equals, knows no `workers`.
    said = subprocess.run([pgweir, "--version"], capture_output=True, text=True).stdout
    equals = "libevent" in said
    return [
        Variant(report.PGBOUNCER, pgbouncer, {}),
        Variant(report.ONE, pgweir, {} if equals else {"workers": 1}),
        Variant(report.TWO, pgweir, {} if equals else {"workers": 2}),
    ]


def find_pgbouncer(named):
    pgbouncer = named or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    return pgbouncer or sys.exit("no pgbouncer to compare with: run tests/setup.sh loadtest")


def build_pgweir():
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/pgweir"


def prepare(account, directory):
    """Scripts of pgbench and a certificate, where the account can read them."""
    for name in set(SCRIPTS.values()):
        shutil.copy(ROOT / "loadtest" / name, directory / name)
    make_certificate(directory)
    account.own(directory)


def commit():
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def main():
    chosen = arguments()
    raise_descriptor_limit()
    pgweir = chosen.pgweir or build_pgweir()
    variants = compared(chosen, pgweir)
    account = Account()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-load-"))
    directory.chmod(0o755)
    started = []
    try:
        prepare(account, directory)
        postgres = PostgreSQL(account, directory)
        started.append(postgres.process)
        for variant in variants:
            started.append(variant.start(account, directory, postgres.port, "load").process)
        runs = rounds(chosen, account, directory, postgres, variants)
        memory = idle_memory(chosen, account, directory, postgres, variants)
        for pid in [variant.process.pid for variant in variants]:
            os.kill(pid, 0)  # each must have lived to the end
    finally:
        for process in reversed(started):
            process.stop()
        shutil.rmtree(directory, ignore_errors=True)

    outcome = {
        "date": datetime.date.today().isoformat(), "commit": commit(), "cpus": os.cpu_count(),
        "rounds": 1 + max(run["round"] for run in runs), "seconds": chosen.seconds,
        "base": variants[0].name, "versions": {variant.name: variant.version() for variant in variants},
        "runs": runs, "idle": memory,
    }  # fmt: skip
    report.publish(ROOT, outcome, report.table(outcome), "loadtest", chosen.page)


if __name__ == "__main__":
    main()

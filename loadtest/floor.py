#!/usr/bin/env python3
"""How far the poolers are from the floor: CPU time per transaction beside bare relays, in interleaved rounds.

    loadtest/floor.py [--quick] [--page] [--rounds N] [--seconds N] [--clients N,N]
        [--pgweir FILE] [--pgbouncer FILE]

A relay (loadtest/relay) pools transactions over as many servers and carries the same bytes, and does nothing
else: no messages are walked, nothing is counted, timed or remembered. There is one for each kind of I/O:
epoll with a system call for each write, epoll with the small writes of a turn in one io_uring call as
pgweir's, io_uring with multishot receives into provided buffers, tokio-uring. The best of them is what a
pooler on this kernel can come near to and not below.

All stand before the same PostgreSQL, as in run.py, whose method this is: simple protocol, plain, one worker,
statistics and the metrics' address on. The best relay of a column is the one with the lowest median; ratios
to it are taken within a round. Two workers of pgweir stand beside two PgBouncers that share a port
(so_reuseport) and the servers, half of them each.
"""

import argparse
import datetime
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import report  # noqa: E402
import run  # noqa: E402
from machine import Account, Process, free_port, raise_descriptor_limit, wait_for  # noqa: E402

MANIFEST = run.ROOT / "loadtest/relay/Cargo.toml"
RELAYS = ("epoll", "epoll-burst", "io-uring", "tokio-uring")
CLIENTS = (1, 32, 128, 500)


def arguments():
    parse = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parse.add_argument("--quick", action="store_true", help="a short look: one round")
    parse.add_argument("--page", action="store_true", help="put the table into docs/benchmarks.md between its markers")
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=3, help="measured seconds of each run")
    parse.add_argument("--clients", type=lambda text: tuple(int(n) for n in text.split(",")), default=CLIENTS)
    parse.add_argument("--pgweir", default=None, help="another program than the release build of this tree")
    parse.add_argument("--pgbouncer", default=None, help="default: the one on PATH or in /usr/sbin")
    chosen = parse.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 2
    return chosen


class Relay(run.Variant):
    """A bare relay in a pooler's place."""

    def __init__(self, kind, program):
        super().__init__(f"relay {kind}", program, {})
        self.kind = kind

    def version(self):
        return f"a bare relay, {self.kind}"

    def start(self, account, directory, postgres_port, tag):
        self.port = free_port()
        home = directory / f"{self.kind}-{tag}"
        home.mkdir()
        program = shutil.copy(self.program, home / "program")
        account.own(home)
        command = [program, self.kind, "--listen", self.port, "--postgres", postgres_port, "--user", "postgres",
                   "--database", "bench", "--servers", run.POOL_SIZE]  # fmt: skip
        self.process = Process(account, command, home / "log", signal.SIGTERM)
        wait_for(self.name, self.process, self.answers)
        return self


class Pair:
    """Two PgBouncers behind one port, of which the kernel chooses for each client."""

    def __init__(self, program):
        self.name, port = f"{report.PGBOUNCER} 2", free_port()
        half = {"so_reuseport": 1, "default_pool_size": run.POOL_SIZE // 2}
        self.both = [run.Variant(f"{self.name} {side}", program, half) for side in ("a", "b")]
        for one in self.both:
            one.port = port
        self.port = port

    def version(self):
        return self.both[0].version()

    def prepares(self):
        return self.both[0].prepares()

    def start(self, account, directory, postgres_port, tag):
        for one in self.both:
            one.start(account, directory, postgres_port, tag)
        return self

    def cpu_ns(self):
        return sum(one.cpu_ns() for one in self.both)

    def must_live(self):
        for one in self.both:
            one.must_live()

    def log(self):
        return "\n".join(one.log() for one in self.both)

    def stop(self):
        for one in self.both:
            one.stop()


def target_directory():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", run.ROOT / "target"))


def relay_program():
    own_target = target_directory() / "relay"
    subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", MANIFEST, "--target-dir", own_target],
                   check=True)  # fmt: skip
    return own_target / "release/relay"


def variants(chosen):
    pgbouncer = run.find_pgbouncer(chosen.pgbouncer)
    pgweir = chosen.pgweir or run.build_pgweir()
    kinds = ((report.ONE, 1, "auto"), (f"{report.ONE} epoll", 1, "epoll"), (report.TWO, 2, "auto"))

    def settings(workers, backend):
        return {"workers": workers, "io_backend": backend, "metrics_listen": f"127.0.0.1:{free_port()}"}

    one, epoll, two = (run.Variant(name, pgweir, settings(workers, backend)) for name, workers, backend in kinds)
    program = relay_program()
    relays = (Relay(kind, program) for kind in RELAYS)
    return [run.Variant(report.PGBOUNCER, pgbouncer, {}), one, epoll, *relays, Pair(pgbouncer), two]


def figures(runs, name, clients, figure):
    """Round by round."""
    return {one["round"]: one[figure] for one in runs if (one["variant"], one["clients"]) == (name, clients)}


def best_relay(runs, clients):
    def middle(kind):
        return statistics.median(figures(runs, f"relay {kind}", clients, "cpu_us").values())

    return f"relay {min(RELAYS, key=middle)}"


def table(outcome):
    runs, names = outcome["runs"], outcome["names"]
    counts = sorted({one["clients"] for one in runs})
    best = {clients: best_relay(runs, clients) for clients in counts}
    head = ["| | " + " | ".join(f"{clients} client{'s' if clients > 1 else ''}" for clients in counts) + " |",
            "|---|" + "---:|" * len(counts)]  # fmt: skip

    def rows(show):
        cells = {name: " | ".join(show(name, clients) for clients in counts) for name in names}
        return [*head, *(f"| {name} | {cells[name]} |" for name in names)]

    def multiple(name, clients):
        own, floor = (figures(runs, one, clients, "cpu_us") for one in (name, best[clients]))
        return report.show([own[number] / floor[number] for number in own])

    def middle(figure):
        return lambda name, clients: f"{statistics.median(figures(runs, name, clients, figure).values()):.1f}"

    return "\n".join([
        f"pgweir at {outcome['commit']} and {outcome['pgbouncer']} beside bare relays, one thread each where no 2 is"
        f" said, simple protocol, {run.POOL_SIZE} servers, PostgreSQL and pgbench on the same {outcome['cpus']} CPUs,"
        f" {outcome['date']}; median of {outcome['rounds']} interleaved rounds of {outcome['seconds']} s"
        " (lowest–highest).",
        "", "**CPU time per transaction, as a multiple of the best relay's**", "", *rows(multiple),
        "", "**CPU time per transaction, µs**", "", *rows(middle("cpu_us")),
        "", "**p99, µs**", "", *rows(middle("p99_us")),
    ])  # fmt: skip


def measure(chosen):
    account = Account()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-floor-"))
    directory.chmod(0o755)
    compared, started = variants(chosen), []
    try:
        run.prepare(account, directory)
        postgres = run.PostgreSQL(account, directory)
        started.append(postgres.process)
        for variant in compared:
            started.append(variant)
            variant.start(account, directory, postgres.port, "floor")
        runs = run.rounds(chosen, account, directory, postgres, compared)
        for variant in compared:
            variant.must_live()
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return {
        "date": datetime.date.today().isoformat(), "commit": run.commit(), "cpus": os.cpu_count(),
        "rounds": 1 + max(one["round"] for one in runs), "seconds": chosen.seconds,
        "names": [variant.name for variant in compared], "pgbouncer": compared[0].version(), "runs": runs,
    }  # fmt: skip


def main():
    chosen = arguments()
    chosen.protocols, chosen.transports, chosen.minutes = ["simple"], ["plain"], float("inf")
    raise_descriptor_limit()
    outcome = measure(chosen)
    report.publish(run.ROOT, outcome, table(outcome), "floor", chosen.page)


if __name__ == "__main__":
    main()

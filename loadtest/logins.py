#!/usr/bin/env python3
"""What client logins cost, beside a PgBouncer, in interleaved rounds.

    loadtest/logins.py [--quick] [--page] [--scenarios A,B] [--pgweir FILE] [--pgbouncer FILE] [--before FILE]

Scenarios. *Logins*: clients log in, leave and come again (loadtest/logins.rs), by trust, md5, SCRAM, over
TLS, over TLS with sessions resumed where the pooler lets them, and by SCRAM over TLS; measured is the
pooler's CPU time for each login (/proc/PID/task/*/schedstat), their rate and their latency. The secrets in
auth_file are what PostgreSQL stores: an md5 hash, a SCRAM verifier. *Storm*: the p99 of established clients
(pgbench, simple protocol, plain) while others log in endlessly by SCRAM over TLS, divided by their p99 in
quiet directly before. These clients run when no one else wants to (SCHED_IDLE), as if they had a machine of
their own: it is the pooler that must not let them disturb. *Storm elsewhere* is the control: the same
they log in to another pooler, all of which runs when no one else wants to. It is what this machine makes
of such company, whatever pooler.

Rounds and ratios are as in run.py, whose PostgreSQL, poolers and rules these are. Only the Python standard
library and cargo are needed.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import json
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
from machine import Account, cpu_ns, raise_descriptor_limit  # noqa: E402

WHEN_IDLE = ["chrt", "--idle", "0"]  # a command's prefix: chrt(1)
USER, PASSWORD = "postgres", "a login's password"
STORM = "storm"
ELSEWHERE = "storm elsewhere"
STORMS = [STORM, ELSEWHERE]

# scenario -> (auth_type, the load's flags)
LOGINS = {
    "trust": ("trust", []),
    "md5": ("md5", []),
    "SCRAM": ("scram-sha-256", []),
    "TLS": ("trust", ["--tls"]),
    "TLS resumed": ("trust", ["--tls-resumed"]),
    "TLS+SCRAM": ("scram-sha-256", ["--tls"]),
}


def arguments():
    parse = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parse.add_argument("--quick", action="store_true", help="one short round")
    parse.add_argument("--page", action="store_true", help="put the table into docs/benchmarks.md between its markers")
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=3, help="measured seconds of each run")
    parse.add_argument("--clients", type=int, default=16, help="clients of a scenario of logins")
    parse.add_argument("--storm-clients", type=int, default=64, help="clients that log in during a storm")
    parse.add_argument("--established", type=int, default=32, help="clients that are there during a storm")
    parse.add_argument("--workers", type=int, default=1, help="pgweir's")
    parse.add_argument("--scenarios", type=lambda text: text.split(","), default=[*LOGINS, *STORMS])
    parse.add_argument("--set", action="append", default=[], help="NAME=VALUE for both poolers' [pgbouncer]")
    parse.add_argument("--pgweir", default=None, help="another program than the release build of this tree")
    parse.add_argument("--load", default=None, help="another program than the release build of loadtest/logins.rs")
    parse.add_argument("--pgbouncer", default=None, help="default: the one on PATH or in /usr/sbin")
    parse.add_argument("--before", default=None, help="an earlier pgweir to compare with, in place of a PgBouncer")
    chosen = parse.parse_args()
    unknown = [name for name in chosen.scenarios if name not in (*LOGINS, *STORMS)]
    if unknown:
        parse.error(f"no scenario {unknown[0]}: there are {', '.join([*LOGINS, *STORMS])}")
    if chosen.before and chosen.page:
        parse.error("the page's table compares with PgBouncer: --before and --page exclude each other")
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 2
    return chosen


def secret(auth_type):
    """What auth_file stores for the user."""
    if auth_type == "trust":
        return ""
    if auth_type == "md5":
        return "md5" + hashlib.md5((PASSWORD + USER).encode()).hexdigest()
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 4096)
    client, server = (hmac.digest(salted, text, "sha256") for text in (b"Client Key", b"Server Key"))
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return f"SCRAM-SHA-256$4096:{salt}${stored}:{server}"


class Poolers:
    """One instance of each pooler for each auth_type."""

    def __init__(self):
        self.names, self.started, self.versions = [], {}, {}

    def start(self, chosen, account, directory, postgres):
        more = dict(setting.split("=", 1) for setting in chosen.set)
        needed = {LOGINS[name][0] for name in chosen.scenarios if name in LOGINS}
        needed |= {"scram-sha-256"} if set(STORMS) & set(chosen.scenarios) else set()
        for name, program, own in compared(chosen):
            self.names.append(name)
            for auth_type in sorted(needed):
                pooler = Pooler(name, program, {**own, "auth_type": auth_type, **more}, secret(auth_type))
                self.started[name, auth_type] = pooler
                pooler.start(account, directory, postgres.port, auth_type)
                self.versions[name] = pooler.version()
        if ELSEWHERE in chosen.scenarios:
            own = {"workers": chosen.workers, "auth_type": "scram-sha-256", **more}
            other = Pooler("elsewhere", compared(chosen)[-1][1], own, secret("scram-sha-256"))
            self.started[ELSEWHERE] = other
            other.start(account, directory, postgres.port, ELSEWHERE.replace(" ", "-"))
            for thread in os.listdir(f"/proc/{other.process.pid}/task"):
                os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))

    def stop(self):
        for pooler in self.started.values():
            pooler.stop()

    def in_turn(self, turn):
        """The poolers' names, another one first each time."""
        turn %= len(self.names)
        return self.names[turn:] + self.names[:turn]


class Pooler(run.Variant):
    """A pooler whose auth_file holds one secret."""

    def __init__(self, name, program, extra, stored):
        super().__init__(name, program, extra)
        self.users = f'"{USER}" "{stored}"\n'


def compared(chosen):
    """Name, program, settings of its own; what the others are compared with comes first."""
    own = {"workers": chosen.workers}
    pgweir = chosen.pgweir or built("release/pgweir")
    if chosen.before:
        return [(report.BEFORE, chosen.before, own), (report.ONE, pgweir, own)]
    pgbouncer = chosen.pgbouncer or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if not pgbouncer:
        sys.exit("no pgbouncer to compare with: run tests/setup.sh loadtest")
    return [(report.PGBOUNCER, pgbouncer, {}), (report.ONE, pgweir, own)]


def built(name):
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", run.ROOT / "target")) / name


def build(chosen):
    wanted = [] if chosen.load else ["--example", "logins"]
    wanted += [] if chosen.pgweir else ["--bin", "pgweir"]
    if wanted:
        subprocess.run(["cargo", "build", "--release", "--locked", *wanted], cwd=run.ROOT, check=True)


class Load:
    """The clients that log in: begun, and measured from when they are warm."""

    def __init__(self, account, program, pooler, clients, seconds, flags, prefix=(), password=PASSWORD):
        command = [*prefix, program, "--port", pooler.port, "--user", USER, "--password", password,
                   "--database", "bench", "--clients", clients, "--seconds", seconds, *flags]  # fmt: skip
        self.pooler = pooler
        self.child = account.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.warm = self.child.stdout.readline()
        self.cpu_ns = cpu_ns(pooler.process.pid)

    def figures(self):
        line = self.child.stdout.readline()
        spent_ns = cpu_ns(self.pooler.process.pid) - self.cpu_ns
        _, complaints = self.child.communicate()
        if self.child.returncode != 0 or not line or self.warm != "warm\n":
            raise RuntimeError(f"the load ended with {self.child.returncode}: {complaints[-500:]}\n"
                               f"{self.pooler.process.log()[-500:]}")  # fmt: skip
        said = json.loads(line)
        if said["failures"] or not said["logins"]:
            raise RuntimeError(f"logins failed: {said}, {complaints[-500:]}")
        return {**said, "rate": said["logins"] / said["seconds"], "cpu_us": spent_ns / said["logins"] / 1000}


def logins(chosen, account, program, pooler, flags):
    return Load(account, program, pooler, chosen.clients, chosen.seconds, flags).figures()


def storm(chosen, account, directory, postgres, program, pooler, login_address):
    def established():
        return run.run_cell(account, directory, postgres, pooler, "simple", chosen.established, "plain", chosen.seconds)

    quiet = established()
    seconds = chosen.seconds + run.WARM_UP_S + 1
    load = Load(account, program, login_address, chosen.storm_clients, seconds, ["--tls"], WHEN_IDLE)
    stormy = established()
    rate = load.figures()["rate"]
    return {"quiet_us": quiet["p99_us"], "storm_us": stormy["p99_us"], "p99": stormy["p99_us"] / quiet["p99_us"],
            "tps": stormy["tps"] / quiet["tps"], "rate": rate}  # fmt: skip


def rounds(chosen, account, directory, postgres, program, poolers):
    results = []
    for number in range(chosen.rounds):
        for index, scenario in enumerate(chosen.scenarios):
            for name in poolers.in_turn(number + index):
                if scenario in STORMS:
                    pooler = poolers.started[name, "scram-sha-256"]
                    login_address = pooler if scenario == STORM else poolers.started[ELSEWHERE]
                    figures = storm(chosen, account, directory, postgres, program, pooler, login_address)
                    said = (f"p99 {figures['quiet_us']} us quiet, {figures['storm_us']} us in the storm,"
                            f" tps x {figures['tps']:.2f}")  # fmt: skip
                else:
                    auth_type, flags = LOGINS[scenario]
                    figures = logins(chosen, account, program, poolers.started[name, auth_type], flags)
                    said = f"cpu {figures['cpu_us']:6.1f} us  p50 {figures['p50_us']} us  p99 {figures['p99_us']} us"
                    said += f"  resumed {figures['resumed'] / figures['logins']:.0%}" if figures["resumed"] else ""
                results.append({"round": number, "scenario": scenario, "variant": name, **figures})
                print(f"round {number} {scenario:12} {name:10} {figures['rate']:7.0f} logins/s  {said}", flush=True)
    return results


def ratios(results, scenario, base, figure):
    """Of each round: pgweir's figure by that of what it is compared with."""
    of = {(one["round"], one["variant"]): one[figure] for one in results if one["scenario"] == scenario}
    return [of[number, report.ONE] / of[number, base] for number, name in of if name == base and of[number, base]]


def median(results, scenario, variant, figure):
    return statistics.median(one[figure] for one in results if (one["scenario"], one["variant"]) == (scenario, variant))


def table(outcome):
    results, base = outcome["runs"], outcome["base"]
    present = {one["scenario"] for one in results}
    out = [
        f"Client logins: pgweir at {outcome['commit']} against {outcome['versions'][base]}, all on the same"
        f" {outcome['cpus']} CPUs, {outcome['date']}; ratios to {base} = 1.00, median of {outcome['rounds']}"
        f" interleaved rounds of {outcome['seconds']} s (lowest–highest), {outcome['clients']} clients."
        " CPU is the pooler's own time for each login.",
    ]
    if present & set(LOGINS):
        out += ["", f"| login | CPU, {base} | CPU | logins/s | p99 |", "|---|---:|---:|---:|---:|"]
    for scenario in (name for name in LOGINS if name in present):
        cols = [report.show(ratios(results, scenario, base, figure)) for figure in ("cpu_us", "rate", "p99_us")]
        out.append(f"| {scenario} | {median(results, scenario, base, 'cpu_us'):.0f} µs | " + " | ".join(cols) + " |")
    if present & set(STORMS):
        out += ["", f"p99 of {outcome['established']} established clients under {outcome['storm_clients']} that log in"
                " endlessly by SCRAM over TLS, by their p99 in quiet (*elsewhere*: they log in to another pooler that"
                " runs when no one else wants to):", "",
                f"| clients that log in | {base} | pgweir | logins/s |", "|---|---:|---:|---:|"]  # fmt: skip
    for scenario in (name for name in STORMS if name in present):
        of = [report.show([one["p99"] for one in results if (one["scenario"], one["variant"]) == (scenario, name)])
              for name in (base, report.ONE)]  # fmt: skip
        rates = [f"{median(results, scenario, name, 'rate'):.0f}" for name in (base, report.ONE)]
        out.append(f"| {scenario} | " + " | ".join([*of, " and ".join(rates)]) + " |")
    return "\n".join(out)


def main():
    chosen = arguments()
    raise_descriptor_limit()
    build(chosen)
    account = Account()
    os.environ["PGPASSWORD"] = PASSWORD
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-logins-"))
    directory.chmod(0o755)
    stops = []
    try:
        program = directory / "logins"
        shutil.copy(chosen.load or built("release/examples/logins"), program)
        program.chmod(0o755)
        shutil.copy(run.ROOT / "loadtest/select1.sql", directory)
        run.make_certificate(directory)
        account.own(directory)
        postgres = run.PostgreSQL(account, directory)
        stops.append(postgres.process)
        poolers = Poolers()
        stops.append(poolers)
        poolers.start(chosen, account, directory, postgres)
        results = rounds(chosen, account, directory, postgres, program, poolers)
        for pooler in poolers.started.values():
            os.kill(pooler.process.pid, 0)  # each must have lived to the end
    finally:
        for one in reversed(stops):
            one.stop()
        shutil.rmtree(directory, ignore_errors=True)

    outcome = {
        "date": datetime.date.today().isoformat(), "commit": run.commit(), "cpus": os.cpu_count(),
        "rounds": chosen.rounds,
        "seconds": chosen.seconds, "clients": chosen.clients, "established": chosen.established,
        "storm_clients": chosen.storm_clients, "base": poolers.names[0], "versions": poolers.versions, "runs": results,
    }  # fmt: skip
    report.publish(run.ROOT, outcome, table(outcome), "logins", chosen.page)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()

#!/usr/bin/env python3
"""What it costs to know who sent a query: the audit log, and logins by JSON web tokens.

    loadtest/identity.py [--quick] [--page] [--parts audit,logins,storm] [--pgweir FILE] [--load FILE]

*Audit*: pgbench through the same pgweir without an audit log and with one, at three settings; measured is the
pooler's CPU time for each transaction (/proc/PID/task/*/schedstat), all its threads together, as a ratio to
the pgweir without. *Logins*: the CPU time of a login over TLS by trust, by SCRAM and by a token (RS256, keys
of 2,048 bits, with a map of claims). *Storm*: clients log in by tokens over TLS, each again as soon as it is
in; measured is the p99 of established clients meanwhile by their p99 in quiet directly before, and how often
the issuer's keys were fetched. As in logins.py the clients of the storm run when no one else wants to.

Rounds are interleaved. The issuer is a server of this program's own, whose tokens openssl signs. Only the
Python standard library, cargo and openssl are needed.
"""

import argparse
import base64
import datetime
import http.server
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import logins  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from machine import Account, raise_descriptor_limit  # noqa: E402

OFF = "off"

# of a line on the page
COLUMNS = 110

# name -> settings of an audit log
AUDITS = {
    OFF: {},
    "transactions": {"audit_log": "file"},
    "fingerprints": {"audit_log": "file", "audit_statements": "fingerprint"},
    "texts": {"audit_log": "file", "audit_statements": "text"},
}

# what pgbench runs -> its script, and the audit logs that it is run with; the first is the protocol's own
TRANSACTIONS = {
    "one SELECT": (None, list(AUDITS)),
    "BEGIN, SELECT, COMMIT": ("block.sql", [OFF, "transactions"]),
}

# name -> auth_type of a login over TLS
METHODS = {"trust": "trust", "SCRAM": "scram-sha-256", "JWT": "jwt"}


def arguments():
    parse = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parse.add_argument("--quick", action="store_true", help="one short round")
    parse.add_argument("--page", action="store_true", help="put the tables into docs/benchmarks.md between their marks")
    parse.add_argument("--parts", type=lambda text: text.split(","), default=["audit", "logins", "storm"])
    parse.add_argument("--rounds", type=int, default=7)
    parse.add_argument("--seconds", type=int, default=4, help="measured seconds of each run")
    parse.add_argument("--clients", type=int, default=16, help="clients of a run, but for the storm")
    parse.add_argument("--storm-clients", type=int, default=1000)
    parse.add_argument("--established", type=int, default=32, help="clients that are there during a storm")
    parse.add_argument("--protocol", default="simple", choices=list(run.SCRIPTS))
    parse.add_argument("--workers", type=int, default=1)
    parse.add_argument("--pgweir", default=None, help="another program than the release build of this tree")
    parse.add_argument("--load", default=None, help="another program than the release build of loadtest/logins.rs")
    chosen = parse.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 2
    return chosen


def base64_url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens, and serves the key to who asks; counts how often it was asked."""

    def __init__(self, directory):
        self.key = directory / "issuer.key"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        said = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        modulus = base64_url(bytes.fromhex(said.strip().partition("=")[2]))
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1", "n": modulus, "e": "AQAB"}
        self.keys = json.dumps({"keys": [key]}).encode()
        self.fetches = 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches += 1
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(issuer.keys)))
                self.end_headers()
                self.wfile.write(issuer.keys)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def token(self, subject):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "pgweir", "sub": subject, "iat": now, "exp": now + 3600,
                  "groups": ["readers", "writers"], "email": "alice@example.org"}  # fmt: skip
        header = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
        text = ".".join(base64_url(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(),
                                   check=True, capture_output=True).stdout  # fmt: skip
        return f"{text}.{base64_url(signature)}"

    def stop(self):
        self.server.shutdown()


class Pooler(run.Variant):
    """A pgweir whose clients prove themselves by one method."""

    def __init__(self, name, program, auth_type, extra, issuer=None):
        super().__init__(name, program, {"auth_type": auth_type, **extra})
        self.users = f'"{logins.USER}" "{logins.secret(auth_type) if auth_type != "jwt" else ""}"\n'
        self.issuer = issuer

    def start(self, account, directory, postgres_port, tag):
        if self.issuer:
            claims = directory / "claims.map"
            claims.write_text(f'staff  groups  "/(readers|writers)"  {logins.USER}\n')
            claims.chmod(0o644)
            entry = f"issuer={self.issuer.url} jwks_url={self.issuer.url}/jwks audience=pgweir map=staff"
            # What stands behind the last setting is a section of its own.
            self.extra["auth_claims_file"] = f"{claims}\n[issuers]\nload = {entry}"
        if "audit_log" in self.extra:
            self.extra["audit_file"] = directory / f"{self.name}-audit.json"
            self.extra["audit_file"].touch()
            account.own(self.extra["audit_file"])
        os.environ["PGPASSWORD"] = self.issuer.token(logins.USER) if self.issuer else logins.PASSWORD
        return super().start(account, directory, postgres_port, tag)

    def answers(self):
        target = ["psql", "-X", f"host=127.0.0.1 port={self.port} user={logins.USER} dbname=bench sslmode=prefer"]
        return subprocess.run([*target, "-c", "select 1"], capture_output=True).returncode == 0


def lines(file):
    """How many records an audit log holds, which is then emptied."""
    with open(file, "rb") as log:
        count = sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(1 << 20), b""))
    os.truncate(file, 0)
    return count


def audit(chosen, account, directory, postgres, program, stops):
    """Runs of pgbench before a pgweir of each kind of audit log."""
    poolers = []
    for name, settings in AUDITS.items():
        pooler = Pooler(name, program, "trust", {"workers": chosen.workers, **settings})
        poolers.append(pooler.start(account, directory, postgres.port, "audit"))
        stops.append(pooler)
    results = []
    shutil.copy(run.ROOT / "loadtest/block.sql", directory / "block.sql")
    (directory / "block.sql").chmod(0o644)
    for number in range(chosen.rounds):
        turn = number % len(poolers)
        for transaction, (script, names) in TRANSACTIONS.items():
            for pooler in poolers[turn:] + poolers[:turn]:
                if pooler.name in names:
                    figures = audit_run(chosen, account, directory, postgres, pooler, script)
                    results.append({"part": "audit", "round": number, "transaction": transaction, **figures})
                    print(report.line(results[-1]), flush=True)
    return results


def audit_run(chosen, account, directory, postgres, pooler, script):
    figures = run.run_cell(account, directory, postgres, pooler, chosen.protocol, chosen.clients, "plain",
                           chosen.seconds, script)  # fmt: skip
    figures["lines"] = lines(pooler.extra["audit_file"]) if pooler.name != OFF else 0
    if pooler.name != OFF and figures["lines"] < figures["tps"] * chosen.seconds:
        raise RuntimeError(f"{pooler.name}: {figures['lines']} records of {figures['tps']:.0f} a second")
    return figures


def login_costs(chosen, account, directory, postgres, program, stops, issuer, load):
    """Runs of logins over TLS, method by method."""
    poolers = {}
    for name, auth_type in METHODS.items():
        own = issuer if auth_type == "jwt" else None
        pooler = Pooler(name, program, auth_type, {"workers": chosen.workers}, own)
        poolers[name] = pooler.start(account, directory, postgres.port, "logins")
        stops.append(pooler)
    results, names = [], list(METHODS)
    for number in range(chosen.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            password = issuer.token(logins.USER) if name == "JWT" else logins.PASSWORD
            clients = logins.Load(account, load, poolers[name], chosen.clients, chosen.seconds, ["--tls"],
                                  password=password)  # fmt: skip
            figures = clients.figures()
            results.append({"part": "logins", "round": number, "variant": name, **figures})
            said = f"{figures['rate']:7.0f} logins/s  cpu {figures['cpu_us']:6.1f} us"
            print(f"round {number} {name:6} {said}", flush=True)
    return results


def storm(chosen, account, directory, postgres, program, stops, issuer, load):
    """Rounds of a storm of logins by tokens."""
    # Established clients log in by trust, at another address of the same pooler's rules.
    rules = directory / "rules"
    rules.write_text("hostnossl all all all trust\nhostssl all all all jwt\n")
    rules.chmod(0o644)
    # Clients of a storm that get no time of a processor look silent: they are not to be cut off for each other.
    more = {"workers": chosen.workers, "auth_hba_file": rules, "max_login_conn": 2 * chosen.storm_clients}
    pooler = Pooler("storm", program, "hba", more, issuer).start(account, directory, postgres.port, "storm")
    stops.append(pooler)
    results = []
    for number in range(chosen.rounds):
        def established():
            return run.run_cell(account, directory, postgres, pooler, "simple", chosen.established, "plain",
                                chosen.seconds)  # fmt: skip

        quiet, fetches = established(), issuer.fetches
        clients = logins.Load(account, load, pooler, chosen.storm_clients, chosen.seconds + run.WARM_UP_S + 1,
                              ["--tls"], logins.WHEN_IDLE, issuer.token(logins.USER))  # fmt: skip
        stormy = established()
        figures = clients.figures()
        results.append({
            "part": "storm", "round": number, "quiet_us": quiet["p99_us"], "storm_us": stormy["p99_us"],
            "p99": stormy["p99_us"] / quiet["p99_us"], "tps": stormy["tps"] / quiet["tps"],
            "logins": figures["logins"], "rate": figures["rate"], "fetches": issuer.fetches - fetches,
        })  # fmt: skip
        print(f"round {number} storm: p99 {quiet['p99_us']} us quiet, {stormy['p99_us']} us in the storm, "
              f"{figures['logins']} logins, {issuer.fetches - fetches} fetches more", flush=True)  # fmt: skip
    results.append({"part": "fetches", "fetches": issuer.fetches})
    return results


def audit_table(outcome):
    of = [one for one in outcome["runs"] if one["part"] == "audit"]
    if not of:
        return []
    base = {(one["transaction"], one["round"]): one for one in of if one["variant"] == OFF}
    said = (f"CPU of a transaction (pgbench, {outcome['protocol']} protocol, {outcome['clients']} clients, plain),"
            f" median of {outcome['rounds']} interleaved rounds of {outcome['seconds']} s (lowest–highest); all"
            " threads of the pooler, the writer of the audit log too:")  # fmt: skip
    out = [textwrap.fill(said, COLUMNS), "",
           "| transaction | audit log | CPU | by off | transactions/s by off | records |",
           "|---|---|---:|---:|---:|---:|"]  # fmt: skip
    for transaction, (_, names) in TRANSACTIONS.items():
        for name in names:
            own = [one for one in of if (one["variant"], one["transaction"]) == (name, transaction)]
            cpu = statistics.median(one["cpu_us"] for one in own)
            bases = [base[transaction, one["round"]] for one in own]
            ratio = [report.show([one[figure] / off[figure] for one, off in zip(own, bases)])
                     for figure in ("cpu_us", "tps")]  # fmt: skip
            count = sum(one["lines"] for one in own)
            out.append(f"| {transaction} | {name} | {cpu:.1f} µs | " + " | ".join(ratio) + f" | {count:,} |")
    return out


def logins_table(outcome):
    of = [one for one in outcome["runs"] if one["part"] == "logins"]
    if not of:
        return []
    base = {one["round"]: one for one in of if one["variant"] == "trust"}
    out = ["", "CPU of a login over TLS:", "", "| method | CPU | above trust | logins/s |", "|---|---:|---:|---:|"]
    for name in METHODS:
        own = [one for one in of if one["variant"] == name]
        cpu = statistics.median(one["cpu_us"] for one in own)
        more = statistics.median(one["cpu_us"] - base[one["round"]]["cpu_us"] for one in own)
        rate = statistics.median(one["rate"] for one in own)
        out.append(f"| {name} | {cpu:.0f} µs | {more:.0f} µs | {rate:.0f} |")
    return out


def storm_table(outcome):
    of = [one for one in outcome["runs"] if one["part"] == "storm"]
    if not of:
        return []
    fetches = next(one["fetches"] for one in outcome["runs"] if one["part"] == "fetches")
    count = sum(one["logins"] for one in of)
    said = (f"{outcome['storm_clients']} clients that log in endlessly by tokens over TLS: p99 of"
            f" {outcome['established']} established clients by their p99 in quiet"
            f" {report.show([one['p99'] for one in of])}; {count:,} logins,"
            f" {statistics.median(one['rate'] for one in of):.0f} a second; the issuer's keys were fetched"
            f" {'once' if fetches == 1 else f'{fetches} times'}.")  # fmt: skip
    return ["", textwrap.fill(said, COLUMNS)]


def table(outcome):
    head = [f"pgweir at {outcome['commit']}, {outcome['workers']} worker(s), {outcome['cpus']} CPUs,"
            f" {outcome['date']}.", ""]  # fmt: skip
    return "\n".join([*head, *audit_table(outcome), *logins_table(outcome), *storm_table(outcome)])


def main():
    chosen = arguments()
    raise_descriptor_limit()
    logins.build(chosen)
    account = Account()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-identity-"))
    directory.chmod(0o755)
    stops = []
    try:
        load = directory / "logins"
        shutil.copy(chosen.load or logins.built("release/examples/logins"), load)
        load.chmod(0o755)
        program = chosen.pgweir or logins.built("release/pgweir")
        run.prepare(account, directory)
        postgres = run.PostgreSQL(account, directory)
        stops.append(postgres.process)
        results = []
        if "audit" in chosen.parts:
            results += audit(chosen, account, directory, postgres, program, stops)
        if "logins" in chosen.parts:
            issuer = Issuer(directory)
            stops.append(issuer)
            results += login_costs(chosen, account, directory, postgres, program, stops, issuer, load)
        if "storm" in chosen.parts:
            issuer = Issuer(directory)
            stops.append(issuer)
            results += storm(chosen, account, directory, postgres, program, stops, issuer, load)
    finally:
        for one in reversed(stops):
            one.stop()
        shutil.rmtree(directory, ignore_errors=True)

    outcome = {
        "date": datetime.date.today().isoformat(), "commit": run.commit(), "cpus": os.cpu_count(),
        "workers": chosen.workers, "protocol": chosen.protocol, "rounds": chosen.rounds, "seconds": chosen.seconds,
        "clients": chosen.clients, "established": chosen.established, "storm_clients": chosen.storm_clients,
        "runs": results,
    }  # fmt: skip
    report.publish(run.ROOT, outcome, table(outcome), "identity", chosen.page)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()

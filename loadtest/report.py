"""From measured runs to tables of ratios."""

import json
import re
import statistics

PGBOUNCER, BEFORE, ONE, TWO = "PgBouncer", "before", "pgweir", "pgweir 2"


def line(run):
    return (
        f"round {run['round']} {run['transport']:5} {run['protocol']:8} c={run['clients']:<4} {run['variant']:10}"
        f" {run['tps']:8.0f} tps  p50 {run['p50_us'] or 0:6} us  p99 {run['p99_us'] or 0:6} us"
        f"  cpu {run['cpu_us']:5.1f} us  rest {run['rest_us']:5.1f} us"
    )


def ratios(runs, cell, base_variant, variant, figure):
    """The ratio to what is compared with, of each round of a cell; a lower CPU or latency is better, a higher tps."""
    found = []
    for base in (run for run in runs if run["variant"] == base_variant and key(run) == cell):
        for own in (run for run in runs if run["variant"] == variant and key(run) == cell):
            if own["round"] == base["round"] and figure(base) and figure(own) is not None:
                found.append(figure(own) / figure(base))
    return found


def key(run):
    return run["transport"], run["protocol"], run["clients"]


def norm(run):
    return run["cpu_us"] / run["rest_us"] if run["rest_us"] else None


FIGURES = [
    ("tps", lambda run: run["tps"]),
    ("p50", lambda run: run["p50_us"]),
    ("p99", lambda run: run["p99_us"]),
    ("CPU", lambda run: run["cpu_us"]),
    ("CPU norm", norm),
]


def show(values):
    """Median, and the spread where there is more than one."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}–{max(values):.2f})"


def table(outcome):
    runs, versions, base = outcome["runs"], outcome["versions"], outcome["base"]
    against = "the earlier " + versions[base] if base == BEFORE else versions[base]
    out = [
        f"pgweir at {outcome['commit']} against {against}, PostgreSQL and pgbench on the same {outcome['cpus']} CPUs,"
        f" {outcome['date']}; ratios to {base} = 1.00, median of {outcome['rounds']} interleaved rounds of"
        f" {outcome['seconds']} s (lowest–highest). Higher tps is better; for everything else lower is better."
        " CPU is the pooler's own time per transaction; norm divides it by that of PostgreSQL and pgbench in the"
        " same run.",
        "",
    ]
    names = {ONE: "one worker", TWO: "two workers (against PgBouncer's one process)"}
    for variant, title in names.items():
        present = sorted({key(run) for run in runs if run["variant"] == variant}, key=order)
        if not present:
            continue
        out += [f"**pgweir, {title}**", ""]
        out.append("| protocol | clients | " + " | ".join(name for name, _ in FIGURES) + " |")
        out.append("|---|---:|" + "---:|" * len(FIGURES))
        missing = False
        for cell in present:
            transport, protocol, clients = cell
            cols = [show(ratios(runs, cell, base, variant, figure)) for _, figure in FIGURES]
            missing = missing or cols[0] == "–"
            # without blanks, so that a row fits a screen
            out.append(f"| {protocol}{', TLS' if transport == 'tls' else ''}|{clients}|" + "|".join(cols) + "|")
        if missing:
            why = "keeps no prepared statements in transaction pooling; nothing to compare with."
            out += ["", f"–: {versions[base]} {why}"]
        out.append("")
    if outcome["idle"]:
        out += ["**Resident memory for each idle client, bytes**", "", f"| | {base} | pgweir |", "|---|---:|---:|"]
        for transport in ("plain", "tls"):
            found = {one["variant"]: one for one in outcome["idle"] if one["transport"] == transport}
            if found:
                count = next(iter(found.values()))["clients"]
                cols = [f"{found[name]['bytes']:.0f}" if name in found else "–" for name in (base, ONE)]
                out.append(f"| {transport}, {count} clients | " + " | ".join(cols) + " |")
    return "\n".join(out).rstrip()


def order(cell):
    transport, protocol, clients = cell
    return transport != "plain", ["simple", "extended", "prepared"].index(protocol), clients


def publish(root, outcome, text, name, has_page):
    """Keeps what was measured below loadtest/results, says the table, and puts it into the page if that is wanted."""
    file = root / "loadtest/results" / f"{outcome['date']}-{outcome['commit'] or 'tree'}-{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(outcome, indent=1) + "\n")
    print(f"\n{text}\n\nwritten: {file.relative_to(root)}")
    if has_page:
        into_page(root / "docs/benchmarks.md", text, name)
        print("written: docs/benchmarks.md")


def into_page(path, text, name="loadtest"):
    """Replaces what stands between the markers of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text()
    new = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.S)
    if new == old and text not in old:
        raise RuntimeError(f"{path.name} has no markers {begin} … {end}")
    path.write_text(new)

#!/usr/bin/env python3
"""Draws docs/benchmarks.svg and writes the README's five figures, both from the tables of docs/benchmarks.md.

    loadtest/picture.py [--check]

Measures nothing. With --check it only says whether both are as the tables have them.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, PICTURE, README = ROOT / "docs/benchmarks.md", ROOT / "docs/benchmarks.svg", ROOT / "README.md"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"

# What is shown: a row of the page's tables by its first cells, and which of its cells has the ratio.
FIGURES = [
    ("CPU of a query, 128 clients", ["simple", "128"], 5),
    ("the same, prepared statements", ["prepared", "128"], 5),
    ("the same over TLS", ["prepared, TLS", "128"], 5),
    ("CPU of a login by SCRAM over TLS", ["TLS+SCRAM"], 2),
    ("memory of an idle client", ["plain, 2000 clients"], None),
]


def rows(text):
    """The cells of every row of a table, in the order of the page."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def ratio(table, begins, cell):
    row = next(row for row in table if row[: len(begins)] == begins)
    if cell is None:
        theirs, ours = (float(value) for value in row[1:3])
        return ours / theirs
    return float(re.match(r"[0-9.]+", row[cell])[0])


def bar(number, what, value):
    top, width = 34 + 44 * number, round(400 * value)
    return "\n".join([
        f'<text x="0" y="{top}">{what}</text>',
        f'<rect x="0" y="{top + 7}" width="400" height="12" rx="2" class="theirs"/>',
        f'<rect x="0" y="{top + 7}" width="{width}" height="12" rx="2" class="ours"/>',
        f'<text x="410" y="{top + 18}">{value:.2f}</text>',
    ])  # fmt: skip


def picture(figures):
    bars = "\n".join(bar(number, what, value) for number, (what, value) in enumerate(figures))
    height = 34 + 44 * len(figures)
    return f"""<svg xmlns="http://www.w3.org/2000/svg"
 viewBox="-8 0 480 {height}" width="480" height="{height}" role="img">
<title>pgweir beside PgBouncer, whose bar is the whole length</title>
<style>
text {{ font: 13px sans-serif; fill: #24292f }} .theirs {{ fill: #d0d7de }} .ours {{ fill: #2f6f9f }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .theirs {{ fill: #3d444d }} .ours {{ fill: #58a6d8 }} }}
</style>
<text x="0" y="14">pgweir (dark), PgBouncer = the whole bar</text>
{bars}
</svg>
"""


def list_of(figures):
    lines = [f"| {what} | {value:.2f} |" for what, value in figures]
    return "\n".join(["| | pgweir |", "|---|---:|", *lines])


def main():
    table = rows(PAGE.read_text())
    figures = [(what, ratio(table, begins, cell)) for what, begins, cell in FIGURES]
    readme = README.read_text()
    told = f"{BEGIN}\n{list_of(figures)}\n{END}"
    new = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: told, readme, flags=re.S)
    if told not in new:
        sys.exit(f"README.md has no markers {BEGIN} … {END}")
    drawn = picture(figures)
    if "--check" in sys.argv[1:]:
        if new != readme or not PICTURE.exists() or PICTURE.read_text() != drawn:
            what = "the README's figures or docs/benchmarks.svg"
            sys.exit(f"{what} are not those of docs/benchmarks.md: run loadtest/picture.py")
        return
    README.write_text(new)
    PICTURE.write_text(drawn)
    print("written: README.md, docs/benchmarks.svg")


if __name__ == "__main__":
    main()

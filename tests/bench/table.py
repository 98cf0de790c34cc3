"""The table of docs/PERFORMANCE.md: table.py [RESULTS]

Of each figure the last line of performance.py's results, as Markdown; those with a goal first."""

import os
import sys


def read(path):
    """{name: words of its last line}, in the order of their first."""
    out = {}
    with open(path) as f:
        for line in f:
            if line.startswith("figure="):
                words = dict(w.split("=", 1) for w in line.split())
                out.setdefault(words["figure"], {}).update(words)
    return out


def table(path):
    rows = read(path).values()
    lines = ["| figure | | goal | met |", "| --- | --- | --- | --- |"]
    for r in sorted(rows, key=lambda r: "goal" not in r):  # stable: else as measured
        lines.append(f"| {r['figure']} | {r['value']} {r['unit']} | {r.get('goal', '')} | {r.get('met', '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    here = os.path.join(os.path.dirname(__file__), "..", "..", "build", "performance", "results")
    print(table(sys.argv[1] if len(sys.argv) > 1 else here))

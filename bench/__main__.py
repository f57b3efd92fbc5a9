"""`make bench`: what costs what, as ratios against a baseline or a peer in the same run.

Prints one table, and writes it to docs/bench.json and docs/pictures/bench.svg. `--only NAME…`
runs some parts and writes nothing; each is a program of its own, `python -m bench.NAME`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from . import table

DOCS = Path(__file__).resolve().parent.parent / "docs"
PARTS = {
    "Cached logins over HTTP, PostgreSQL": ("logins",),
    "Cached logins over HTTP, SQLite": ("logins", "--sqlite"),
    "A login among many patterns": ("patterns",),
    "A fleet that wakes up, and renewals": ("cold",),
    "Beside other programs": ("peers",),
    "Import": ("import_rows",),
    "Pages": ("pages",),
    "Memory": ("memory",),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="such as logins, pages")
    told = parser.parse_args()
    found = []
    for title, command in PARTS.items():
        if told.only and command[0] not in told.only:
            continue
        began = time.monotonic()
        rows = _run(command)
        found.append((title, rows))
        print(f"\n{title} ({time.monotonic() - began:.0f} s)\n{table.text(rows)}", flush=True)
    if told.only:
        return
    (DOCS / "bench.json").write_text(json.dumps(_document(found), indent=1, ensure_ascii=False))
    (DOCS / "pictures" / "bench.svg").write_text(table.svg(found))


def _run(command: tuple[str, ...]) -> list[table.Row]:
    """A part in a process of its own: each has databases and servers of its own."""
    name, *rest = command
    ended = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *rest, "--json"],
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise SystemExit(f"bench.{name} failed:\n{ended.stderr}")
    return table.read(ended.stdout.strip().splitlines()[-1])


def _document(found: list[tuple[str, list[table.Row]]]) -> dict[str, object]:
    """What it was measured on, and per part its rows; no name of a machine."""
    return {
        "at": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "parts": [
            {
                "title": title,
                "rows": [{**dataclasses.asdict(row), "met": row.met} for row in rows],
            }
            for title, rows in found
        ],
    }


if __name__ == "__main__":
    main()

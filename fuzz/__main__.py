"""`python -m fuzz PART --count N --seed S`: prints a line of figures; exit 1 where one fails.

A part is a function (count, seed) → `Figures`; what it was given that failed is in there.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import django

# Where each part is; one whose module isn't there isn't offered.
MODULES = ("fuzz.files", "fuzz.requests")


def parts() -> dict:
    known: dict = {}
    for name in MODULES:
        try:
            known |= importlib.import_module(name).PARTS
        except ModuleNotFoundError as missing:
            if missing.name != name:
                raise
    return known


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("part", choices=sorted(known))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    figures = known[asked.part](asked.count, asked.seed)
    print(f"{asked.part}, seed {asked.seed}: {figures}")
    for failure in figures.failures[:5]:
        print(f"  {failure}", file=sys.stderr)
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.import_rows`: rows a second and memory of import_registries.

The command as a process of its own on CSV files, its start included; beside
django-import-export on the same file, where that is installed (it isn't among the
requirements): that writes rows of one table, without patterns, sealing, events or checks
against each other.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cryptography.fernet import Fernet

from . import table
from .table import Row

SMALL, LARGE = 20_000, 100_000
HEADER = "image_pattern,type,access_key_id,secret_access_key,region,environments,enabled,note\n"
PEER = "django-import-export"


class Taken(NamedTuple):
    seconds: float
    peak: float  # MiB


def rows(rounds: int) -> Iterator[Row]:
    from tests.support.postgres import start_postgres, stop

    with tempfile.TemporaryDirectory() as directory:
        files = {size: write_rows(Path(directory) / f"{size}.csv", size) for size in (SMALL, LARGE)}
        yield from _of("postgresql", start_postgres(), files, rounds)
        stop()
        url = f"sqlite:///{directory}/bench.sqlite3"
        yield from _of("sqlite", url, files, max(1, rounds // 2))


def _of(name: str, url: str, files: dict[int, Path], rounds: int) -> Iterator[Row]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": Fernet.generate_key().decode(),
        "FERNET_KEYS": Fernet.generate_key().decode(),
    }
    _run(environment, "manage.py", "migrate", "--verbosity", "0")
    peer = importlib.util.find_spec("import_export") is not None and name == "postgresql"
    ours, theirs = [], []
    for turn in range(rounds):
        ours.append(_import(environment, files[SMALL], f"small-{turn}", "created", SMALL))
        if peer:
            theirs.append(_run(environment, "-m", "bench.peer_import", str(files[SMALL]))[1])
    again = _import(environment, files[SMALL], "small-0", "unchanged", SMALL, new=False)
    large = _import(environment, files[LARGE], "large", "created", LARGE)
    rate = statistics.median(SMALL / taken.seconds for taken in ours)
    what = f"import, {SMALL:,} rows, {name}"
    aim = ("≥", 1.0) if name == "postgresql" else None
    yield Row(what, rate, "rows/s", rate / 4_000, "4,000 a second", aim)
    yield Row(f"{what}, unchanged", SMALL / again.seconds, "rows/s")
    peak = statistics.median(taken.peak for taken in ours)
    yield Row(f"memory of an import of {LARGE:,} rows, {name}", large.peak, "MiB",
              large.peak / peak, f"{SMALL:,} rows", ("≤", 1.3))  # fmt: skip
    if theirs:
        other = statistics.median(SMALL / taken.seconds for taken in theirs)
        share = statistics.median(t.seconds / o.seconds for o, t in zip(ours, theirs, strict=True))
        yield Row(f"{PEER}, the same file", other, "rows/s", 1 / share, "ours")
        yield Row(f"memory of {PEER}", statistics.median(t.peak for t in theirs), "MiB")


def write_rows(path: Path, size: int) -> Path:
    """Entries of 1,000 accounts, each with its own repository, key and secret."""
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(size):
            account = f"{number % 1000:012d}"
            pattern = f"{account}.dkr.ecr.us-east-1.amazonaws.com/team-{number // 1000}/train/*"
            file.write(f"{pattern},aws-ecr,AKIA{number:012d}BENC,{number:040d},,,,row {number}\n")
    return path


def _import(
    environment: dict[str, str], path: Path, slug: str, what: str, size: int, new: bool = True
) -> Taken:
    if new:
        command = ("create_organization", slug, "--admin", "admin@example.com")
        _run(environment, "manage.py", *command)
    command = ("import_registries", str(path), "--organization", slug)
    out, taken = _run(environment, "manage.py", *command)
    if f"{size:,} {what}" not in out:
        raise SystemExit(out)
    return taken


def _run(environment: dict[str, str], *arguments: str) -> tuple[str, Taken]:
    """Run a program of Python's; give its output, and what it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(out)
    return out, Taken(time.monotonic() - began, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    table.part(__doc__, rows, rounds=3)

"""`python -m bench.import_rows`: rows a second and memory of import_registries.

Runs the command as a process of its own on 10,000 and 100,000 CSV rows, then once
more on the same file, on SQLite and on PostgreSQL. Not part of `make bench`: it
takes minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography.fernet import Fernet

SIZES = (10_000, 100_000)
HEADER = "image_pattern,type,access_key_id,secret_access_key,region,environments,enabled,note\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        files = {size: write_rows(Path(directory) / f"{size}.csv", size) for size in SIZES}
        print(
            f"{'database':<12}{'rows':>9}  {'what':<11}{'seconds':>8}{'rows/s':>8}"
            f"{'CPU s':>8}{'peak MiB':>10}"
        )
        measure("sqlite", f"sqlite:///{directory}/bench.sqlite3", files)
        from tests.support.postgres import start_postgres, stop

        measure("postgresql", start_postgres(), files)
        stop()


def write_rows(path: Path, size: int) -> Path:
    """Entries of 1,000 accounts, each with its own repository, key and secret."""
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(size):
            account = f"{number % 1000:012d}"
            pattern = f"{account}.dkr.ecr.us-east-1.amazonaws.com/team-{number // 1000}/train/*"
            file.write(f"{pattern},aws-ecr,AKIA{number:012d}BENC,{number:040d},,,,row {number}\n")
    return path


def measure(name: str, url: str, files: dict[int, Path]) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": Fernet.generate_key().decode(),
        "FERNET_KEYS": Fernet.generate_key().decode(),
    }
    manage(environment, "migrate", "--verbosity", "0")
    for size, path in files.items():
        slug = f"rows-{size}"
        manage(environment, "create_organization", slug, "--admin", "admin@example.com")
        for what in ("created", "unchanged"):
            began = time.monotonic()
            out, cpu, peak = manage(
                environment, "import_registries", str(path), "--organization", slug
            )
            seconds = time.monotonic() - began
            if f"{size:,} {what}" not in out:
                raise SystemExit(out)
            print(
                f"{name:<12}{size:>9,}  {what:<11}{seconds:>8.1f}{size / seconds:>8,.0f}"
                f"{cpu:>8.1f}{peak:>10.0f}",
                flush=True,
            )


def manage(environment: dict[str, str], *arguments: str) -> tuple[str, float, float]:
    """Run a command; give its output, its own processor seconds and its peak MiB."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
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
    return out, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()

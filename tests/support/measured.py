"""What reading files costs, each in a process of its own: `python -m tests.support.measured`.

Takes lines of JSON, [name, file's path], and gives one back for each: [name, result], where
the result has `cpu` (seconds), `memory` (MiB above the process's start), `rows`, `lookups`
and `told`, the first errors as [code, sentences].
"""

from __future__ import annotations

import json
import os
import resource
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import django

KNOWN = {f"gpu-{number}": None for number in range(2_000)}


def read(name: str, content: bytes) -> dict[str, Any]:
    """The file through its reader and, row by row, as far as import goes without a database."""
    import io

    from orgs.registries.problems import Refused
    from orgs.services.bulk.files import Rows
    from orgs.services.bulk.files import rows as bounds
    from orgs.services.bulk.files.rows import MAX_ROWS, BrokenFile
    from orgs.services.bulk.files.valohai_yaml import read_images
    from orgs.services.bulk.importing import CHUNK, PLACES_A_ROW, Report
    from orgs.services.bulk.reading import SpecReader

    told: list[tuple[str, str]] = []
    rows = lookups = 0
    report = Report()

    def counted(*args: Any, **rest: Any) -> list[str]:
        nonlocal lookups
        lookups += 1
        return get_close_matches(*args, **rest)

    bounds.get_close_matches = counted
    if name.endswith(".valohai.yaml"):
        try:
            images = read_images(content).images
        except Refused as refused:
            return {"rows": 0, "lookups": 0, "told": [(refused.code, str(refused))]}
        told = [(image.problem.code, str(image.problem)) for image in images if image.problem]
        return {"rows": len(images), "lookups": 0, "told": told[:20]}
    reader = SpecReader(KNOWN, MAX_ROWS * PLACES_A_ROW)  # type: ignore[arg-type]
    try:
        for row in Rows(io.BytesIO(content), name.rpartition(".")[2]):
            rows += 1
            read = reader.read(row)
            read.refuse(*(read.found.problems if read.found else ()))
            report.refuse_row(read)
            if rows % CHUNK == 0 and report.untold:
                break  # as import does: what follows isn't looked at
    except BrokenFile as broken:
        report.end(broken.errors)
    told += [(error.code, str(error)) for error in report.errors[:20] + report.errors[-20:]]
    return {"rows": rows, "lookups": lookups, "told": told}


def measured(name: str, path: str) -> dict[str, Any]:
    content = Path(path).read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = read(name, content)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = (after.ru_maxrss - before.ru_maxrss) / 1024
    return result | {"cpu": cpu, "memory": memory}


def main() -> None:
    django.setup()
    read("warm.yaml", b"- {type: docker, image_pattern: a.b/c}")
    read("warm.xlsx", b"")
    for line in sys.stdin:
        name, path = json.loads(line)
        if os.fork() == 0:
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
                print(json.dumps([name, measured(name, path)]), flush=True)
            finally:
                os._exit(0)
        os.wait()


if __name__ == "__main__":
    main()

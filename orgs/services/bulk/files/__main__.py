"""`python -m orgs.services.bulk.files FORMAT < FILE`: a file's rows or images, as lines of JSON;
with `corrected` after the format, the file by the corrections in the line before it.

`apart` starts it, with nothing in its environment. Exit 0: everything is told, what is
wrong with the file too. Anything else: it took too much.
"""

import os
import resource
import sys
from collections.abc import Iterator
from io import BytesIO

from orgs.registries.problems import Refused

from . import Rows, wire
from .corrected import corrected
from .rows import BrokenFile
from .valohai_yaml import read_images

CPU = 10  # seconds
MEMORY = 500_000_000  # bytes of address space, what Python itself takes included
VALOHAI_YAML = "valohai.yaml"


def limit() -> None:
    """Bounds that hold whatever the reading does; nothing is written anywhere."""
    os.nice(10)
    for kind, most in (
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def told(format: str, content: bytes) -> Iterator[bytes]:
    if format != VALOHAI_YAML:
        yield from wire.rows_told(Rows(BytesIO(content), format))
        return
    try:
        yield from wire.images_told(read_images(content))
    except Refused as refused:
        yield wire.refusal_told(refused)


def told_corrected(format: str, sent: bytes) -> bytes:
    changes, _, content = sent.partition(b"\n")
    try:
        return wire.corrected_told(corrected(content, format, wire.changes_heard(changes)))
    except BrokenFile as broken:
        return wire.broken_told(broken)


if __name__ == "__main__":
    limit()
    format, sent = sys.argv[1], sys.stdin.buffer.read()
    if sys.argv[2:] == ["corrected"]:
        sys.stdout.buffer.write(told_corrected(format, sent))
    else:
        sys.stdout.buffer.writelines(told(format, sent))

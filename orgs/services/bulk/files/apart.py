"""Reading a file in a process of its own, for servers.

The readers bound their work by counting. If one fails at that, or a library in C does,
then no thread that answers workers waits, and no memory is missing: the process is of
low priority, has its own bounds of time and memory, and is killed at the deadline.
Why: docs/decisions/0011-reading-files.md.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import orgs
from orgs.outside import outside
from orgs.registries.places import Places
from orgs.registries.problems import Problem, Refused

from . import wire
from .corrected import Changes, Corrected
from .rows import Row, broken
from .valohai_yaml import Mentions

DEADLINE = 30.0  # seconds on the clock; a busy machine gives it little
# In this process, where what was read is looked at too: an organization has one.
PLACES = Places(3, "Other files are being read at the moment.", most={"organization": 1})

_ROOT = Path(orgs.__file__).resolve().parents[1]
_WHAT = "Reading this file takes more work than a file of its size should."
_FIX = "Save it again from the program it's from, or as CSV, or split it."

log = logging.getLogger(__name__)


class TooMuch(Exception):
    """The process was killed, or died of what it read."""


class ReadRows:
    """As `Rows`, of what was read; holds no file, so passes cost little."""

    def __init__(self, content: bytes, format: str) -> None:
        """Reads the file, unless that is too much; blocks."""
        try:
            self._lines: bytes | None = _run(format, content)
        except TooMuch:
            self._lines = None

    def __iter__(self) -> Iterator[Row]:
        if self._lines is None:
            raise broken("too_much_work", _WHAT, _FIX)
        return wire.rows_heard(BytesIO(self._lines))


def read_images(content: str | bytes) -> Mentions:
    """As `valohai_yaml.read_images`; blocks. Raises `Refused`."""
    if isinstance(content, str):
        content = content.encode(errors="replace")
    try:
        return wire.images_heard(BytesIO(_run("valohai.yaml", content)))
    except TooMuch:
        told = Problem("invalid_yaml", _WHAT, "Choose the valohai.yaml itself.", "file")
        raise Refused(told) from None


def corrected(content: bytes, format: str, changes: Changes) -> Corrected:
    """As `corrected.corrected`; blocks. Raises `BrokenFile`."""
    try:
        line = _run(format, wire.changes_told(changes) + content, "corrected")
    except TooMuch:
        raise broken("too_much_work", _WHAT, _FIX) from None
    return wire.corrected_heard(line)


def _run(format: str, content: bytes, *how: str) -> bytes:
    """What the process tells; raises `TooMuch`. The file goes in by its standard input
    alone, and nothing of this process's environment does."""
    command = [sys.executable, "-E", "-s", "-m", "orgs.services.bulk.files", format, *how]
    try:
        with outside():
            ended = subprocess.run(  # noqa: S603 (every part of it is ours)
                command,
                input=content,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_ROOT,
                env={},
                timeout=DEADLINE,
                check=True,
            )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        # Neither's text has anything of the file.
        _give_up(format, type(error).__name__)
    if not wire.is_whole(ended.stdout):
        _give_up(format, "too early")
    return ended.stdout


def _give_up(format: str, how: str) -> NoReturn:
    log.error("Reading a file of the format %s ended: %s", format, how)
    raise TooMuch from None

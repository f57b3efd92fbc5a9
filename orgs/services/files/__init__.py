"""Import and export files: their columns, and how their formats are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from .documents import read_json, read_yaml
from .rows import Row
from .tables import read_csv, read_xlsx

READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {
    "csv": read_csv,
    "json": read_json,
    "yaml": read_yaml,
    "xlsx": read_xlsx,
}
_ENDINGS = {"yml": "yaml"}


def read(file: BinaryIO, format: str) -> Iterator[Row]:
    """The file's rows from its beginning; raises `BrokenFile`, perhaps after some rows.

    `file` can seek, and stays open.
    """
    file.seek(0)
    return READERS[format](file)


def format_of(name: str) -> str | None:
    """The format that a file's name ends in, None where it's none of ours."""
    ending = name.rpartition(".")[2].lower()
    ending = _ENDINGS.get(ending, ending)
    return ending if ending in READERS else None

"""Files that people send: their columns, and how their formats are read.

Nothing here knows of Django, so that `apart` can read a file in a small process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from .documents import read_json, read_yaml
from .rows import Row
from .tables import read_csv
from .workbook import read_xlsx

READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {
    "csv": read_csv,
    "json": read_json,
    "yaml": read_yaml,
    "xlsx": read_xlsx,
}
_ENDINGS = {"yml": "yaml", "dockerconfigjson": "json", "dockercfg": "json"}


class Rows:
    """An import file's rows, each pass from its beginning; raises `BrokenFile`, perhaps
    after some.

    `file` can seek, and stays open; `format` is one of `READERS`.
    """

    def __init__(self, file: BinaryIO, format: str) -> None:
        self._file = file
        self._format = format

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        return READERS[self._format](self._file)


def format_of(name: str) -> str | None:
    """The format that a file's name ends in, None where it's none of ours."""
    ending = name.rpartition(".")[2].lower()
    ending = _ENDINGS.get(ending, ending)
    return ending if ending in READERS else None

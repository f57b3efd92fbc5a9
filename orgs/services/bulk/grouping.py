"""The same problem of many rows, told once: how many, which, what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orgs.registries import codes

from .correcting import Correction
from .files.columns import CellError

SHOWN = 3  # different values of a group
MOST_SPANS = 5  # of rows one after the other


class RowNumbers:
    """Rows' numbers as they come, each perhaps several times in a row; only the first
    `MOST_SPANS` spans are kept."""

    def __init__(self) -> None:
        self.count = 0
        self._spans: list[tuple[int, int]] = []
        self._last: int | None = None
        self._told = 0

    def add(self, row: int | None) -> None:
        if row is None or row == self._last:
            return
        self.count += 1
        following = self._spans and self._last == self._spans[-1][1] == row - 1
        self._last = row
        if following:
            self._spans[-1] = (self._spans[-1][0], row)
        elif len(self._spans) < MOST_SPANS:
            self._spans.append((row, row))
        else:
            return
        self._told += 1

    @property
    def words(self) -> str:
        return f"{self.count:,} row{'' if self.count == 1 else 's'}"

    @property
    def named(self) -> str:
        return f"row{'' if self.count == 1 else 's'} {self}"

    def __str__(self) -> str:
        """“2–5001, 5003”; "" for the file as a whole."""
        spans = ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in self._spans)
        more = self.count - self._told
        return f"{spans} and {more:,} more" if more else spans


@dataclass
class _Values:
    """The first `SHOWN` different ones, and how many others there are."""

    shown: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, value: str) -> None:
        if value and value not in self._seen:
            self._seen.add(value)
            if len(self.shown) < SHOWN:
                self.shown.append(value)

    @property
    def more(self) -> int:
        return len(self._seen) - len(self.shown)


@dataclass
class Group:
    """Errors of one code and column whose sentences differ in what they are about alone.

    `first` stands for all; `alike` says whether the others say the very same.
    """

    first: CellError
    count: int = 0
    rows: RowNumbers = field(default_factory=RowNumbers)
    values: _Values = field(default_factory=_Values)
    alike: bool = True

    def add(self, error: CellError) -> None:
        self.count += 1
        self.rows.add(error.row)
        self.values.add(error.value)
        self.alike = self.alike and (error.what, error.fix) == (self.first.what, self.first.fix)

    @cached_property
    def phrase(self) -> str:
        return codes.of(self.first.code).phrase

    @cached_property
    def fix(self) -> str:
        """What to do about each of them; "" where only each one's own is known."""
        return codes.of(self.first.code).fix_at_field

    def __str__(self) -> str:
        if self.rows.count < 2:
            return str(self.first)
        column = f", {self.first.column}" if self.first.column else ""
        told = f"{self.rows.words}{column}: {self.phrase}; {self.rows.named}"
        return f"{told}. {'All' if self.alike else 'The first'}: {_sentences(self.first)}"


def _sentences(error: CellError) -> str:
    value = f"{error.value}: " if error.value else ""
    return f"{value}{error.what} {error.fix} [{error.code}]"


def grouped(errors: Sequence[CellError]) -> list[Group]:
    """The errors in groups, in the order of their first ones; several of one row, or of the
    file, are told each. Takes time and memory in proportion to them."""
    keys = [(str(e.row is None), e.code, e.column, _shape(e)) for e in errors]
    rows: dict[tuple[str, ...], set[int | None]] = {}
    for key, error in zip(keys, errors, strict=True):
        some = rows.setdefault(key, set())
        if len(some) < 2:
            some.add(error.row)
    found: dict[tuple[str, ...], Group] = {}
    for key, error in zip(keys, errors, strict=True):
        each = key if len(rows[key]) > 1 else (*key, error.value, error.what, error.fix)
        found.setdefault(each, Group(error)).add(error)
    return list(found.values())


def _shape(error: CellError) -> str:
    """The sentence without what it is about: its value, and words that are no words."""
    what = error.what.replace(error.value, "…") if error.value else error.what
    return " ".join("…" if _is_value(word) else word for word in what.split())


def _is_value(word: str) -> bool:
    word = word.rstrip(".,;:!?")
    return word[:1] in "“‹…" or any(sign in word for sign in "…/:@*.0123456789”›")


@dataclass(frozen=True)
class Corrected:
    """What was corrected in one way, in words; `shown` are the first (before, after)."""

    words: str
    column: str
    shown: Sequence[Sequence[str]]


def corrections_grouped(found: Sequence[Correction]) -> list[Corrected]:
    groups: dict[tuple[str, str], tuple[RowNumbers, dict[tuple[str, str], None]]] = {}
    for one in found:
        rows, shown = groups.setdefault((one.code, one.column), (RowNumbers(), {}))
        rows.add(one.row)
        if len(shown) < SHOWN:
            shown[one.before, one.after] = None
    return [
        Corrected(f"{rows.words}: {codes.phrase(code)}; {rows.named}", column, list(shown))
        for (code, column), (rows, shown) in groups.items()
    ]

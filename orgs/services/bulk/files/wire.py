"""What was read, as lines of JSON: how a process that reads a file tells another of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from itertools import islice
from typing import Any

from orgs.registries.images import ImageReference
from orgs.registries.problems import Problem, Refused

from .columns import CellError
from .corrected import Changes, Corrected
from .rows import MAX_ROWS, BrokenFile, Row, too_large
from .valohai_yaml import Mention, Mentions, Warned

# Bytes; ASCII, so letters of other scripts take up to three times their own.
MAX_TOLD = 40_000_000


# What a last line begins with.
_LAST = (b"[null,", b'["end"', b'["refused"', b'["corrected"')


def rows_told(rows: Iterable[Row]) -> Iterator[bytes]:
    """One more row than an upload may have, so that whoever limits it notices."""
    told = 0
    try:
        for row in islice(rows, MAX_ROWS + 1):
            cells = {name: _plain(value) for name, value in row.cells.items()}
            errors = [astuple(error) for error in row.errors]
            line = _line(row.number, cells, errors, *row.remarks)
            told += len(line)
            if told > MAX_TOLD:
                raise too_large()
            yield line
        yield _line(None, [])
    except BrokenFile as broken:
        yield broken_told(broken)


def rows_heard(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows; raises `BrokenFile` as reading did."""
    for line in lines:
        number, *rest = json.loads(line)
        if number is None:
            if rest[0]:
                raise BrokenFile(*(CellError(*error) for error in rest[0]))
            return
        cells, errors, *remarks = rest
        yield Row(number, cells, tuple(CellError(*error) for error in errors), tuple(remarks))
    raise EOFError("The lines end before the file did.")


def corrected_told(made: Corrected) -> bytes:
    text = base64.b64encode(made.content).decode()
    return _line("corrected", made.format, made.secrets, text)


def broken_told(broken: BrokenFile) -> bytes:
    return _line(None, [astuple(error) for error in broken.errors])


def corrected_heard(line: bytes) -> Corrected:
    """The file; raises `BrokenFile` as correcting it did."""
    kind, *told = json.loads(line)
    if kind is None:
        raise BrokenFile(*(CellError(*error) for error in told[0]))
    format, secrets, text = told
    return Corrected(format, base64.b64decode(text), secrets)


def changes_told(changes: Changes) -> bytes:
    return _line(*changes.items())


def changes_heard(line: bytes) -> Changes:
    return dict(json.loads(line))


def images_told(mentions: Mentions) -> Iterator[bytes]:
    for image in mentions.images:
        problem = image.problem and (image.problem.what, image.problem.fix)
        yield _line("image", image.line, image.where, image.text, problem)
    for warned in mentions.warnings:
        yield _line("warning", warned.line, warned.sentence)
    yield _line("end")


def refusal_told(refused: Refused) -> bytes:
    return _line("refused", refused.problem.what, refused.problem.fix)


def images_heard(lines: Iterable[bytes]) -> Mentions:
    """The images; raises `Refused` as reading did."""
    found = Mentions()
    for line in lines:
        kind, *told = json.loads(line)
        if kind == "refused":
            what, fix = told
            raise Refused(Problem("invalid_yaml", what, fix, "file"))
        if kind == "image":
            found.images.append(_mention(*told))
        elif kind == "warning":
            found.warnings.append(Warned(*told))
        else:
            return found
    raise EOFError("The lines end before the file did.")


def _mention(line: int, where: str, text: str, problem: list[str] | None) -> Mention:
    if problem is None:
        return Mention(line, where, text, ImageReference.parse(text))
    what, fix = problem
    return Mention(line, where, text, problem=Problem("invalid_image", what, fix))


def is_whole(told: bytes) -> bool:
    """Whether the last line is there, by which what was told ends."""
    last = told[told.rfind(b"\n", 0, -1) + 1 :]
    return last.startswith(_LAST) and last.endswith(b"]\n")


def _plain(value: Any) -> Any:
    """The value; of what no cell can be only that it's there."""
    is_list = type(value) is list and all(type(item) is str for item in value)
    return value if is_list or not isinstance(value, list | dict) else {}


def _line(*parts: Any) -> bytes:
    return json.dumps(parts, allow_nan=False).encode() + b"\n"

"""Which encoding a file's text is in, told by its bytes.

Programs write UTF-8, some with a mark; PowerShell's `>` writes UTF-16, mostly with a mark;
Excel's plain CSV is in the code page of its Windows, of which Windows-1252 is the most common.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import BinaryIO

from orgs.registries.text import is_storable

LEGACY = "cp1252"
_CHUNK = 1_000_000
_UNDECODED = re.compile("[\udc80-\udcff]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What other programs' files begin with, told where text was expected.
_OTHERS = (
    (b"PK\x03\x04", "a ZIP file, such as XLSX, ODS or Numbers"),
    (b"\xd0\xcf\x11\xe0", "a workbook of old Excel (XLS), or one with a password"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True)
class Coding:
    """`name` and `errors` as Python's decoders take them.

    `sure` is False where some bytes aren't UTF-8: what they stand for is a guess (`name` is
    `LEGACY`), or can't be told at all. Bytes that stand for nothing are decoded to lone
    surrogates then, for `is_undecoded`.
    """

    name: str
    errors: str = "strict"
    sure: bool = True


def by_mark(start: bytes) -> str | None:
    """The encoding that a file's first four bytes tell; None where they tell none.

    Without a mark: every file we read begins with two ASCII characters.
    """
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if len(start) >= 4 and start.count(0) == 2:
        if start[1] == start[3] == 0:
            return "utf-16-le"
        if start[0] == start[2] == 0:
            return "utf-16-be"
    return None


def of_table(file: BinaryIO) -> Coding:
    """The encoding of a table, after a look at all of it; the file stays at its beginning."""
    name = by_mark(file.read(4))
    file.seek(0)
    marked = name == "utf-8-sig"
    coding = Coding(name) if name and not marked else _utf8_or_not(file, marked)
    file.seek(0)
    return coding


def _utf8_or_not(file: BinaryIO, marked: bool) -> Coding:
    """Letters of Windows-1252 are hardly ever UTF-8 by chance, so a file that has both is
    one of UTF-8 with something else in it, as one with the mark is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lenient = codecs.getincrementaldecoder("utf-8")("ignore")
    letters, broken = marked, False
    while not (letters and broken):
        chunk = file.read(_CHUNK)
        letters = letters or not lenient.decode(chunk).isascii()
        if not broken:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                broken = True
        if not chunk:
            break
    if not broken:
        return Coding("utf-8-sig")
    return Coding("utf-8-sig" if letters else LEGACY, "surrogateescape", sure=False)


def is_undecoded(text: str) -> bool:
    """Whether some byte in it stood for no letter."""
    return not is_storable(text) and _UNDECODED.search(text) is not None


def other_program(start: bytes) -> str | None:
    """What a file is that begins so and is no text; None where it may be one."""
    return next((name for magic, name in _OTHERS if start.startswith(magic)), None)

"""What comes along when people copy a value: a key out of a shell, a file of settings, an
answer of a command, a page.

Everything here is in proportion to the text, and says nothing of what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

# Zero-width blanks and joiners, marks of direction, the soft hyphen, byte-order marks.
INVISIBLE = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
QUOTES = "\"'`´‘’‚‛“”„‟«»‹›＂＇"
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_WORD = re.compile(r"[^a-z0-9]+")
# Written before a name: in shells, PowerShell, Dockerfiles.
_BEFORE = ("export", "setx", "set", "env", "arg")
_LONGEST_NAME = 60  # characters, with what stands around it
# More than anyone wraps around a value.
_LAYERS = 6
_ENDS = {",": "a comma", ";": "a semicolon", ".": "a full stop", "\\": "a backslash"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def visible(text: str) -> str:
    """The text without what nobody sees in it."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def bare(text: str, names: tuple[str, ...]) -> Iterator[str]:
    """What may be meant by a text, one layer around it after the other taken off: a name
    before it, quotation marks, what ends a line; at last its percent-encoding. Nothing
    where it has no `names`."""
    if not names:
        return
    plain = {_plain(name) for name in names}
    for _ in range(_LAYERS):
        text = text.strip()
        if (off := _off(text)) == text:
            off = _without_name(text, plain)
            plain = set()  # there is one name, and a value may look like another
        if off == text:
            break
        text = off
        yield text
    if _ENCODED.search(text):
        yield unquote(text, errors="replace")


def described(text: str, length: int | None = None) -> str:
    """What is odd about a text, such as “39 characters, one short”, without a letter of it.

    `length` is the one that it should have.
    """
    count = len(text)
    odd = [f"{count:,} character{'' if count == 1 else 's'}", *_around(text)]
    if visible(text) != text:
        odd.append("invisible characters in it")
    if len(text.split()) > 1:
        odd.append("blanks in it")
    if _ENCODED.search(text):
        odd.append("percent-encoded")
    if length and len(odd) == 1 and count != length:
        words = "short" if count < length else "too many"
        odd.append(f"{_number(abs(count - length))} {words}")
    elif length and len(odd) == 1:
        odd.append("some of which none has")
    return ", ".join(odd)


def _around(text: str) -> Iterator[str]:
    ends = [text[:1] in QUOTES, text.rstrip("".join(_ENDS))[-1:] in QUOTES] if text else []
    if all(ends) and ends:
        yield "quotation marks around it"
    elif any(ends):
        yield "a quotation mark at one end"
    if end := _ENDS.get(text[-1:]):
        yield f"{end} behind it"
    name, sign, _ = _named(text)
    if sign and name.replace("_", "").isalpha():
        yield "what looks like a name before it"


def _off(text: str) -> str:
    """The text without what ends it as a line, or the quotation marks around all of it."""
    if text[-1:] in _ENDS:
        return text[:-1]
    quoted = len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES
    # Else they are those of a name and of its value.
    if quoted and text[0] not in text[1:-1] and text[-1] not in text[1:-1]:
        return text[1:-1]
    return text


def _without_name(text: str, names: set[str]) -> str:
    """The text without one of the names before it."""
    name, _, value = _named(text)
    word = _plain(name)
    return value if value and (word in names or _without_command(word) in names) else text


def _named(text: str) -> tuple[str, str, str]:
    """`(name, sign, value)` of what is written like `NAME=value` or `"name": "value"`."""
    head = text[:_LONGEST_NAME].removeprefix("$env:").removeprefix("$Env:")
    skipped = len(text[:_LONGEST_NAME]) - len(head)
    at = next((i for i, letter in enumerate(head) if letter in "=:"), -1)
    if at < 0:
        return text, "", ""
    rest = text[skipped + at + 1 :]
    # `=>` and `:=`.
    return head[:at], head[at], rest.removeprefix(">").removeprefix("=")


def _without_command(word: str) -> str:
    for command in _BEFORE:
        if word.startswith(command):
            return word.removeprefix(command)
    return word


def _plain(name: str) -> str:
    return _WORD.sub("", name.lower())


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"

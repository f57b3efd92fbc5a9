"""Text that can be stored, sent and shown: the one rule for whatever people and programs
write.

NUL can't be stored in PostgreSQL, and half of a surrogate pair, which JSON and Python can
hold, in no database and no file. Other control characters nobody writes on purpose; in a
terminal or a mail they do harm. Letters that turn the direction of writing are let be:
people write right to left, and the pages keep names apart by their markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Where a text may have several lines: all but tab and line breaks.
_CONTROL_IN_LINES = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Deeper than anything the house stores; what lies below isn't read.
_DEEPEST = 20


def is_storable(text: str) -> bool:
    """Whether every database, file and answer can hold it."""
    if "\0" in text:
        return False
    try:  # many times as fast as looking for half a surrogate pair
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """The text, “�” standing for what can't be stored: for what nobody types."""
    return text if is_storable(text) else _UNSTORABLE.sub(REPLACEMENT, text)


def storable_value(value: Any, depth: int = 0) -> Any:
    """The same for all texts in a JSON value, keys too; what is nested too deep is None."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        if depth >= _DEEPEST:
            return None
        return {storable(str(k)): storable_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        if depth >= _DEEPEST:
            return None
        return [storable_value(item, depth + 1) for item in value]
    return value


def has_control(text: str, *, lines: bool = False) -> bool:
    """Whether there is something in it that no text has; `lines` allows line breaks."""
    if text.isprintable():
        return False
    return bool((_CONTROL_IN_LINES if lines else _CONTROL).search(text))

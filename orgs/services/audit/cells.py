"""Cells that no spreadsheet takes for a formula."""

from __future__ import annotations

import re

# Where a cell looks like a formula: at its start, and where a spreadsheet that separates
# by other signs would find the start of one (there quotation marks don't help).
_FORMULA = r"(?=[=+\-@\t\r\n＝＋－＠])"
_TO_ESCAPE = re.compile(rf"(^|[;\t\r\n])('*){_FORMULA}")
_ESCAPED = re.compile(rf"(^|[;\t\r\n])'('*){_FORMULA}")


def escape(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: with “'” before what looks like one.

    `unescape` gives it back (OWASP «CSV Injection»).
    """
    return _TO_ESCAPE.sub(r"\1\2'", cell)


def unescape(cell: str) -> str:
    return _ESCAPED.sub(r"\1\2", cell) if "'" in cell else cell

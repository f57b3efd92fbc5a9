"""Sentences with a part that isn't for everyone: whose key it is, for one.

The part is marked where the sentence is made, and the marks stay in what is stored; so
each reader is shown the sentence with the part or without it. Org admins, staff and the
operator see it; members don't, and neither do workers, whose logs many people read.
"""

from __future__ import annotations

import re

# Two letters without a meaning (Unicode, «Private Use Area»), which no cloud writes.
_OPEN, _CLOSE = "\ue000", "\ue001"
# One that was cut off before its end is private to the end.
_PART = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}?")
_NOTHING = f"{_OPEN}{_CLOSE}"
# Codes whose sentences named a key before there were marks.
_NAMED_KEYS = frozenset({"access_denied", "invalid_key", "signature_mismatch"})


def private(part: str) -> str:
    """A part of a sentence that not everyone sees, blanks around it included."""
    return f"{_OPEN}{whole(part)}{_CLOSE}"


def public(sentence: str) -> str:
    """The sentence for everyone, without its private parts."""
    # A mark alone is a registry's own; it hides nothing, but nobody reads it.
    return _PART.sub("", sentence).replace(_CLOSE, "")


def whole(sentence: str) -> str:
    """The sentence with its private parts, for whom they are meant."""
    return sentence.replace(_OPEN, "").replace(_CLOSE, "")


def marked(sentence: str) -> str:
    """The sentence as it is stored, so that it's known to be marked; see `stored`."""
    return sentence if _OPEN in sentence else f"{sentence}{_NOTHING}"


def stored(sentence: str, code: str, *, private: bool) -> str:
    """A stored sentence for who sees private parts, or doesn't; "" where it can't be told."""
    return whole(sentence) if private else public(known(sentence, code))


def known(sentence: str, code: str) -> str:
    """A stored sentence, or "" where it was stored before there were marks and may name a
    key anywhere."""
    return "" if _OPEN not in sentence and code in _NAMED_KEYS else sentence

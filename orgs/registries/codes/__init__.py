"""Every code that a person, the API, a worker or the audit log is told, in one table.

What isn't here can't be raised: `Problem` and `Failed` ask for it as they are made. A
registry type may bring codes of its own (`RegistryType.codes`), which `catalogue` adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from . import answers, entries, files, people
from .row import ISSUED as ISSUED
from .row import LOGIN as LOGIN
from .row import REPORT as REPORT
from .row import SIGN_IN as SIGN_IN
from .row import TOKEN as TOKEN
from .row import VERIFIED as VERIFIED
from .row import Code as Code
from .row import Kind as Kind
from .row import Page as Page
from .row import UnknownCode as UnknownCode
from .row import Worker as Worker
from .row import checking as checking
from .row import field as field
from .row import login as login

OURS: Mapping[str, Code] = MappingProxyType(
    {**answers.CODES, **entries.CODES, **files.CODES, **people.CODES}
)

_FURTHER: list[Callable[[], Mapping[str, Code]]] = []


def also(further: Callable[[], Mapping[str, Code]]) -> None:
    """Add codes to the table: those that `further` gives whenever it is asked."""
    _FURTHER.append(further)


def table() -> dict[str, Code]:
    """All of them; where a type's own has the name of one of ours, ours counts."""
    return {code: row for further in _FURTHER for code, row in further().items()} | dict(OURS)


def of(code: str) -> Code:
    """What the table says of a code; raises `UnknownCode`."""
    row = OURS.get(code) or next(
        (own[code] for further in _FURTHER if code in (own := further())), None
    )
    if row is None:
        raise UnknownCode(f"{code!r} isn't in the table of codes.")
    return row


def known(code: str | None) -> bool:
    """Whether it is in the table: what was stored may be of a former version, or of a type
    that is gone."""
    return code in OURS or any(code in further() for further in _FURTHER)


# What the fields and validators of forms call what they find by themselves: Django's words,
# and never those of an answer or an event.
_OF_FORMS = MappingProxyType(
    {
        "max_length": "too long",
        "min_length": "too short",
        "max_value": "too large",
        "min_value": "too small",
        "invalid_choice": "not in the list",
        "invalid_list": "not in the list",
        "invalid_pk_value": "not in the list",
        "invalid_date": "not a date",
        "missing": "empty",
        "empty": "an empty file",
        "contradiction": "given twice",
        "unique": "taken",
        "null_characters_not_allowed": "a character that can't be stored",
        "surrogate_characters_not_allowed": "a character that can't be stored",
        "password_too_short": "too short",
        "password_too_common": "too common",
        "password_entirely_numeric": "only digits",
        "password_too_similar": "too like what is known of you",
        "password_mismatch": "not the same",
    }
)


def phrase(code: str | None) -> str:
    """What a problem is in two or three words, beside the field that it's at; "" where the
    code is neither of the table nor one that forms find by themselves."""
    return of(code).phrase if code and known(code) else _OF_FORMS.get(code or "", "")


def of_kind(kind: Kind) -> Iterator[str]:
    return (code for code, row in table().items() if row.kind is kind)

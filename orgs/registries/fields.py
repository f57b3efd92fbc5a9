"""What an input of a registry type is: declared once, held everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

from . import pasted_values
from .problems import Problem, text_problem

ON = "true"
_SWITCHES = dict.fromkeys(("true", "yes", "y", "on", "1"), True)
_SWITCHES |= dict.fromkeys(("false", "no", "n", "off", "0"), False)


def switched(text: str) -> bool | None:
    """What a yes or no means that somebody wrote; None for anything else."""
    return _SWITCHES.get(text.strip().lower())


def neither(name: str) -> Problem:
    """What is wrong with a yes or no of the field `name` that is anything else."""
    what = "This is neither true nor false."
    return Problem("not_a_boolean", what, "Write true or false.", name)


class Blanks(Enum):
    """What becomes of blanks and line breaks in what was typed."""

    CUT = auto()  # those at its ends
    DROPPED = auto()  # all of them, as copying from a page brings them along
    KEPT = auto()  # none: they may be part of it


@dataclass(frozen=True)
class Other:
    """What is often taken for a value: a regular expression that fits it in full, what it
    is and where the right one is found. Told by the code of the shape that it isn't of,
    where it has none of its own; never repeated."""

    expression: str
    what: str
    fix: str
    code: str = ""

    @cached_property
    def fits(self) -> Callable[[str], re.Match[str] | None]:
        return re.compile(self.expression).fullmatch


@dataclass(frozen=True)
class Shape:
    """A regular expression that fits a value in full, and what to tell where it doesn't.

    `{value}` in `what` stands for its beginning, or for “This” where that may be a secret;
    `{odd}` for what is odd about it, without a letter of it. `length` is the one it
    has, in characters, where it is always the same. `others` are known by their looks,
    whether they fit or not.
    """

    expression: str
    code: str
    what: str
    fix: str
    length: int | None = None
    others: tuple[Other, ...] = ()

    @cached_property
    def fits(self) -> Callable[[str], re.Match[str] | None]:
        return re.compile(self.expression).fullmatch

    def problem(self, value: str, name: str, shown: str) -> Problem | None:
        """What is wrong with a value of the field `name`, `shown` for what may be told of
        it."""
        if other := next((other for other in self.others if other.fits(value)), None):
            return Problem(other.code or self.code, other.what, other.fix, name)
        if self.fits(value):
            return None
        what = self.what.replace("{odd}", pasted_values.described(value, self.length))
        return Problem(self.code, what.replace("{value}", shown), self.fix, name)


@dataclass(frozen=True)
class Field:
    """One input of a registry type, declared once for forms, API, import and pages; what it
    says is held by `RegistryType.clean`.

    `secret` fields are sealed and never shown again; `paired_with` names the public field
    that identifies the same key: changing that needs the secret anew (DESIGN, rule 6).
    `hidden_from_members` is an identity that only org admins and staff see. `missing` is
    what to do where a required one is empty. `max_length` is in characters; only with
    `lines` it may have line breaks, which are kept as \\n; with `file`, a form also takes it
    out of one of these (an input's `accept`). `choices` gives (value, label)
    pairs when called, as an offer: what else is right is the type's to say.
    `from_pattern` is a regular expression, for Python and JavaScript alike and in any case
    of letters, whose group is the value that an empty field takes from a match pattern.
    `echo` is a regular expression of what an import's error may repeat of it: so
    narrow that no secret in the wrong column fits; empty for nothing at all.
    `pasted_as` are its names where people copy it from: with any, quotation marks, such a
    name and the like around it are taken off where then it has its shape. `reads` gives
    the value that another way of writing it means, and anything else as it is.
    A `switch` is a choice of yes or no, stored as `ON` or left out.
    `pages_tell` gives the lines that pages show in a value's place.
    """

    name: str
    label: str
    help: str = ""
    example: str = ""
    secret: bool = False
    hidden_from_members: bool = False
    required: bool = True
    missing: str = "Enter it."
    shape: Shape | None = None
    max_length: int = 200
    lines: bool = False
    file: str = ""
    blanks: Blanks = Blanks.CUT
    paired_with: str | None = None
    choices: Callable[[], Sequence[tuple[str, str]]] | None = None
    from_pattern: str = ""
    echo: str = ""
    pasted_as: tuple[str, ...] = ()
    reads: Callable[[str], str] | None = None
    switch: bool = False
    pages_tell: Callable[[str], Sequence[str]] | None = None

    @property
    def left_out(self) -> bool:
        """Whether nothing of it is stored, answered and shown where it's empty."""
        return not (self.required or self.secret or self.from_pattern)

    def told(self, value: str) -> Sequence[str]:
        """What pages show for a value, a line each."""
        if self.switch:
            return ["Yes" if value == ON else value]
        return self.pages_tell(value) if self.pages_tell else [value]

    def typed(self, value: str) -> str:
        """What was typed, but for blanks that aren't part of it."""
        if self.lines:  # as browsers, editors and spreadsheets end lines, each in its way
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        if self.blanks is Blanks.DROPPED:
            return "".join(value.split())
        return value.strip() if self.blanks is Blanks.CUT else value

    def meant(self, value: str) -> str:
        """What was meant by what was typed, where there is no doubt. What has its shape is
        left alone, and so is what may hold anything."""
        if self.switch:
            on = switched(value)
            return value.strip().lower() if on is None else ON if on else ""
        if self.blanks is Blanks.KEPT:
            return self.typed(value)
        visible = pasted_values.visible(value) if not self.lines else value.strip("\ufeff")
        typed = self.typed(visible)
        if not typed or self.shape is None or self.shape.fits(typed):
            return typed
        for bare in (typed, *pasted_values.bare(visible, self.pasted_as)):
            found = self.typed(bare)
            found = self.typed(self.reads(found)) if self.reads else found
            if self.shape.fits(found):
                return found
        return typed

    def problem(self, value: str) -> Problem | None:
        """What is wrong with a value by what is declared; None where nothing is. That a
        secret is absent is its caller's to judge."""
        if not value:
            needed = self.required and not self.secret
            what = f"{self.label} is empty."
            return Problem("required", what, self.missing, self.name) if needed else None
        if self.switch and value != ON:
            return neither(self.name)
        # A secret is often pasted where the identity beside it belongs.
        untold = self.secret or (self.hidden_from_members and not self.may_repeat(value))
        shown = "This" if untold else value[:80]
        if self.shape and (found := self.shape.problem(value, self.name, shown)):
            return found
        return text_problem(
            value, name=self.name, label=self.label, most=self.max_length, lines=self.lines
        )

    def may_repeat(self, value: str) -> bool:
        """Whether an error may repeat what was typed here: no secret looks like this."""
        return bool(self.echo and not self.secret and re.fullmatch(self.echo, value))

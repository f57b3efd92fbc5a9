"""What went wrong, as values: a problem, a refusal of what was given, a login that failed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import codes, private
from .text import has_control


@dataclass(frozen=True)
class Problem:
    """Something a person can mend: what happened, and what to do about it.

    `code` is one of `codes`, `what` and `fix` are one sentence each and never hold a
    secret; raises `UnknownCode` for any other code. `field` names the form
    field it belongs to, or is None for the whole. `suggestion` is the corrected
    value alone, where there is one.
    """

    code: str
    what: str
    fix: str = ""
    field: str | None = None
    suggestion: str | None = None

    def __post_init__(self) -> None:
        codes.of(self.code)

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".strip()


class Refused(ValueError):
    """Raised by parsers and validators with one or more `Problem`s."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(str(problem) for problem in problems))
        self.problems = problems

    @property
    def problem(self) -> Problem:
        return self.problems[0]

    @property
    def code(self) -> str:
        return self.problem.code


def text_problem(
    value: object, *, name: str | None, label: str, most: int | None, lines: bool = False
) -> Problem | None:
    """What is wrong with a value as text, whatever it should say; None where nothing is.

    `most` is its greatest length in characters. The value is never repeated.
    """
    if not isinstance(value, str):
        return Problem("not_text", f"{label} isn't text.", "Write it as text.", name)
    if has_control(value, lines=lines):
        what = f"{label} has a control character in it."
        return Problem("control_character", what, "Write it again by hand.", name)
    if most is not None and len(value) > most:
        what = f"{label} is longer than {most:,} characters."
        return Problem("too_long", what, "Write less.", name)
    return None


# What an outage means to workers that have no login yet; whoever knows of one says so
# instead.
NO_LOGIN = "workers can't pull until it answers"


class Failed(Exception):
    """Why there is no login: a problem, and when to ask again.

    `problem`, `what`, `fix` and `detail` are for everyone, already cleaned of secrets and
    control characters; what is private in them (`registries.private`) is only in `told`,
    which is what to store, and in `in_full`. `retry_after` is in seconds, or None where
    waiting doesn't help. `mended_elsewhere`: attaching the type's own policy doesn't help,
    as it does for others with the same code.
    """

    def __init__(
        self,
        code: str,
        what: str,
        fix: str = "",
        retry_after: int | None = None,
        *,
        mended_elsewhere: bool = False,
    ) -> None:
        self._marked = Problem(code, private.marked(what), fix)
        self.retry_after = retry_after
        self.mended_elsewhere = mended_elsewhere
        super().__init__(f"{code}: {self.problem}")

    @property
    def problem(self) -> Problem:
        return replace(self._marked, what=private.public(self.told))

    @property
    def code(self) -> str:
        return self._marked.code

    @property
    def told(self) -> str:
        return self._marked.what

    @property
    def what(self) -> str:
        return self.problem.what

    @property
    def fix(self) -> str:
        return self._marked.fix

    @property
    def detail(self) -> str:
        return str(self.problem)

    @property
    def in_full(self) -> str:
        """`detail` for who sees private parts."""
        return private.whole(str(self._marked)).strip()

    @property
    def transient(self) -> bool:
        return codes.of(self.code).kind is codes.Kind.TRANSIENT

    @property
    def refused(self) -> bool:
        return codes.of(self.code).kind is codes.Kind.REFUSED

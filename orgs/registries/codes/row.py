"""What is said of a code, and how a row of the table is written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Whose doing it is, and so whether asking again may help."""

    TRANSIENT = "passes by itself: asking again later may help"
    REFUSED = "the provider refuses the login: asking again without a change won't help"
    BEYOND_LOGIN = "the registry refuses what comes after the login"
    NEITHER = "neither"


class Worker(Enum):
    """What a worker's programs do with it (CONTRACT «On a worker»); each value ends the
    sentence «The worker …»."""

    OLDER_COPY = "uses an older copy that hasn't expired"
    DELETES = "deletes its copy and fails"
    ANONYMOUS = "deletes its copy and pulls anonymously"
    FAILS = "fails, its copy stays"
    NEVER = "is never told"


class Page(Enum):
    """Where a person sees it."""

    FIELD = "at its field, in the form or the file's report"
    OVERVIEW = "among the organization's last refused logins"
    AUDIT = "in the audit log"
    ENTRY = "on the entry's page"
    NONE = "nowhere but in the answer"


ISSUED, LOGIN = "login.issued", "login.refused"
TOKEN, REPORT = "token.refused", "login.reported"
VERIFIED, SIGN_IN = "entry.verified", "user.sign_in_refused"
"""The audit log's actions that have a code's event."""


@dataclass(frozen=True)
class Code:
    """`says` is one short sentence for people. `status` is the answer's, None where no
    server tells it. `event` is the action of the event that it leaves where it is met, ""
    for none; a verification leaves its own, whatever the code. `field` codes come by the
    field they belong to, in forms, files and the API alike; `verifying` ones only of
    verifying an entry or looking at its images.

    `short` says it within “Match pattern: …” and “5,000 rows: …”. `certain`: where a
    problem with it suggests a value, that is what was meant, and no other. `fix` is what to
    do where it is an answer's, `fix_at_field` where it comes by the field of an entry that
    was sent: one sentence, for those who read of codes before they meet one. Answers say it
    with the names filled in, and a type's own codes in what they say alone.
    """

    says: str
    status: int | None
    kind: Kind = Kind.NEITHER
    event: str = ""
    worker: Worker = Worker.NEVER
    field: bool = False
    verifying: bool = False
    short: str = ""
    certain: bool = False
    fix: str = ""
    fix_at_field: str = ""

    @property
    def phrase(self) -> str:
        """`short`, or what it says as a phrase."""
        if self.short:
            return self.short
        # A name keeps its capitals.
        first = self.says[:1] if self.says[1:2].isupper() else self.says[:1].lower()
        return (first + self.says[1:]).removesuffix(".")

    @property
    def answered(self) -> bool:
        """Whether it may be the API's whole answer, and not only be told by field."""
        if self.status is None or self.event == SIGN_IN:
            return False
        # What isn't 400 is never told by field.
        return not self.field or self.worker is not Worker.NEVER or self.status != 400

    @property
    def page(self) -> Page:
        if self.event in _PAGES:
            return _PAGES[self.event]
        if self.worker is Worker.NEVER and self.field:
            return Page.FIELD
        return Page.ENTRY if self.verifying else Page.NONE


_PAGES = {
    **{LOGIN: Page.OVERVIEW, TOKEN: Page.AUDIT, SIGN_IN: Page.FIELD},
    **{REPORT: Page.ENTRY, VERIFIED: Page.ENTRY},
}


class UnknownCode(LookupError):
    """A code that isn't in the table."""


def field(says: str, *, short: str = "", certain: bool = False, fix_at_field: str = "") -> Code:
    """What is wrong with something that was given, told where it was given."""
    return Code(says, 400, field=True, short=short, certain=certain, fix_at_field=fix_at_field)


def login(
    status: int,
    says: str,
    kind: Kind = Kind.NEITHER,
    worker: Worker = Worker.DELETES,
    *,
    short: str = "",
    fix: str = "",
) -> Code:
    """Why a worker gets no login."""
    return Code(says, status, kind, LOGIN, worker, short=short, fix=fix)


def passing(says: str, *, fix: str = "") -> Code:
    """Why the provider gives no login right now."""
    return login(503, says, Kind.TRANSIENT, Worker.OLDER_COPY, fix=fix)


def checking(says: str, kind: Kind = Kind.NEITHER) -> Code:
    """What only verifying an entry finds."""
    return Code(says, 422, kind, VERIFIED, verifying=True)


def unchecked(says: str, status: int) -> Code:
    """Why an entry isn't verified, or its images aren't shown."""
    return Code(says, status, verifying=True)


def reported(says: str, worker: Worker = Worker.FAILS) -> Code:
    """What a worker meets that completes an instance role, and reports."""
    return Code(says, None, event=REPORT, worker=worker)


def on_worker(says: str, worker: Worker = Worker.FAILS) -> Code:
    """What a worker's programs find out by themselves, and tell there alone."""
    return Code(says, None, worker=worker)


def signing_in(says: str, status: int, *, short: str = "") -> Code:
    """Why nobody is signed in; told by the page of signing in."""
    return Code(says, status, event=SIGN_IN, short=short)

"""The second step of signing in: an app's codes, passkeys, recovery codes.

django-allauth keeps and checks them (docs/decisions/0024-sign-in.md). Here is what is ours:
its secrets are sealed for the person whose they are, codes are counted before they are
looked at, and each works once, whichever process is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.crypto import salted_hmac

from orgs.models import User
from orgs.registries.problems import Failed
from orgs.sealed import Sealed, seal
from orgs.services.audit.events import Actor

from . import attempts, mails, sessions, tallies, told
from .mails import Mail
from .writing import written

CODES = attempts.CODES
# An app's code is good for 30 s, and for those before and after; a little more is kept.
USED = timedelta(minutes=3)
CHANGES = 30  # an hour
KINDS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)

TOLD = {
    "user.second_step_added": "was added",
    "user.second_step_removed": "was removed",
    "user.recovery_codes_made": "were made anew",
}


def has_one(person: User) -> bool:
    """Whether signing in asks for a second step."""
    return Authenticator.objects.filter(user=person, type__in=KINDS).exists()


def of_member() -> Exists:
    """Whether a membership's person has one, for a queryset."""
    return Exists(Authenticator.objects.filter(user=OuterRef("user"), type__in=KINDS))


def without_one(everyone: Sequence[User]) -> list[User]:
    """Those of them who sign in by a password alone."""
    with_one = Authenticator.objects.filter(user__in=everyone, type__in=KINDS)
    have = set(with_one.values_list("user_id", flat=True))
    return [person for person in everyone if person.pk not in have]


# --- sealed -------------------------------------------------------------------

_whose: ContextVar[User | None] = ContextVar("whose", default=None)


@contextmanager
def of(person: User) -> Iterator[None]:
    """Whose secrets are sealed and opened within."""
    token = _whose.set(person)
    try:
        yield
    finally:
        _whose.reset(token)


def sealed(text: str) -> str:
    """For the person that `of` says, as text for a JSON column."""
    return seal(text, _context()).token.decode("ascii")


def opened(text: str) -> str:
    """What `sealed` made for the same person; raises `Unreadable`."""
    return Sealed(text.encode()).reveal(_context())


def _context() -> str:
    person = _whose.get()
    if person is None:
        raise AssertionError("Whose second step is it?")
    return f"second step of user {person.pk}"


def resealed(data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """An `Authenticator`'s data under the first key, and how many secrets that holds; raises
    `Unreadable`."""
    found = {name: data[name] for name in ("secret", "seed") if name in data}
    fresh = {name: Sealed(text.encode()).resealed() for name, text in found.items()}
    texts = {name: value.token.decode("ascii") for name, value in fresh.items()}
    return data | texts, len(texts)


# --- codes --------------------------------------------------------------------


def count_code(person: User) -> None:
    """One more try of a code, before it is looked at; raises `Failed` codes_paused."""
    whose = str(person.pk)
    tallies.prepare([CODES.key(whose)])
    if pause := tallies.take(CODES, whose):
        raise Failed(
            "codes_paused",
            f"Too many codes were wrong, so none is taken until {pause.until:%H:%M} UTC, "
            "even the right one.",
            "Wait, or use a passkey.",
            pause.seconds,
        )


def code_is_good(person: User) -> None:
    """Forget the tries before the right one."""
    tallies.clear(CODES, str(person.pk))


def use(person: User, code: str) -> bool:
    """Take a code that is good; False where it was taken a moment ago."""
    digits = "".join(filter(str.isalnum, code))
    used = salted_hmac("orgs.used_code", f"{person.pk}:{digits}", algorithm="sha256").hexdigest()
    return tallies.count(f"used:{used}", USED) == 1


def wrong_code() -> Failed:
    """What is told for a code that isn't right."""
    return Failed(
        "wrong_code",
        "This code isn't right, or it was used already.",
        "Type the newest one.",
    )


def unreadable() -> Failed:
    """What is told where the server's keys don't open somebody's secret."""
    return Failed(
        "second_step_unreadable",
        "Your second step can't be opened with this server's keys.",
        "Ask staff to put the former key back last in FERNET_KEYS, or to take it off.",
    )


# --- what is done with them -----------------------------------------------------


def tell(action: str, person: User, what: str, actor: Actor) -> None:
    """In the logs of their organizations, and by mail to them."""
    told.tell(action, person, actor, properties={"what": what})
    mail = Mail(
        f"{what} {TOLD[action]}",
        [
            f"{what} {TOLD[action]}: the two-step sign-in of {person.email} changed.",
            "If that wasn't you, set a new password now and tell the people who run this server.",
        ],
        "/accounts/",
        [person.email],
        f"the second step of user {person.pk}",
    )
    transaction.on_commit(lambda: mails.send_later(mail) if mails.go_out() else None)


def may_add(person: User) -> bool:
    """Whether their address is known to be theirs, or nobody could show it by a mail: else who
    made the account of somebody's address would keep them out of it for good."""
    return person.email_verified or not mails.go_out()


def may_change(person: User) -> bool:
    """Count one more change of their steps; whether it isn't too many: each sends a mail."""
    return tallies.count(f"steps:{person.pk}", timedelta(hours=1)) <= CHANGES


def rename(*, person: User, key: int, name: str) -> bool:
    """Give a passkey another name; False where it is gone: it doesn't come back by that."""
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update()
        found = rows.filter(user=person, pk=key, type=Authenticator.Type.WEBAUTHN).first()
        if found is None:
            return False
        found.data["name"] = name
        found.save(update_fields=["data"])
    return True


def take_off(*, person: User, actor: Actor) -> int:
    """Let somebody in by the password alone who lost what they had; how many were removed."""
    with written(person) as standing:
        _, deleted = Authenticator.objects.filter(user=standing).delete()
        count = sum(deleted.values())
        tallies.clear(CODES, str(standing.pk))
        if count:
            sessions.end(standing, None)
            tell("user.second_step_removed", standing, "Two-step sign-in", actor)
    return count


# --- passkeys -----------------------------------------------------------------


def passkeys_work() -> bool:
    """Whether browsers take passkeys for this server's address: a name, by https; or
    localhost, of this machine."""
    base = urlsplit(settings.BASE_URL)
    name = base.hostname or ""
    local = name == "localhost" or name.endswith(".localhost")
    is_name = not re.fullmatch(r"[0-9.]+|.*:.*", name)
    return is_name and (base.scheme == "https" or local)

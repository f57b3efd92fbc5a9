"""Signing in: who comes with an e-mail and a password, and how often they may try.

Every try is counted before its password is looked at, so that however many come at
once no more reach the hash than the limits let through. Whether somebody has an
account makes no difference: the same rows are counted, the same queries asked, the
same hash computed, the same sentences told (docs/decisions/0013-sign-in-limits.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth import authenticate

from orgs.models import User
from orgs.registries.problems import Failed
from orgs.seen import metrics
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor

from . import passwords, tallies
from .attempts import ACCOUNT, ADDRESS, PASSKEYS, account_of, source_of
from .tallies import Pause
from .told import events, tell


class SignInRefused(Failed):
    """Nobody is signed in; `code` is wrong_password, account_paused or address_paused."""


def sign_in(*, email: str, password: str, address: str | None) -> User:
    """Who has this e-mail and password; raises `SignInRefused` and `places.Full`.

    Nobody is in by it yet: there may be a second step."""
    email = email.strip().lower()
    account, source = account_of(email), source_of(address)
    with passwords.place(account=account):
        person = User.objects.filter(email=email).first()
        try:
            _count(account, source)
            user = _authenticated(email, password)
        except SignInRefused as refused:
            if refused.code == "address_paused":  # whatever it types
                tell_refused(None, source, address, refused.code)
            else:
                tell_refused(person, account, address, refused.code)
            raise
        tallies.clear(ACCOUNT, account)
        tallies.give_back(ADDRESS, source)
    return user


def signed_in(*, person: User, by: Sequence[str], address: str | None) -> None:
    """Tell that somebody is in, once all steps are behind them; `by` what they showed."""
    actor = Actor(person.email, person, source_address=address)
    tell("user.signed_in", person, actor, code="ok", properties={"by": list(by)})


def _count(account: str, source: str) -> None:
    """Raises `SignInRefused`. The address first: a paused one adds to nobody's account."""
    tallies.prepare([ADDRESS.key(source), ACCOUNT.key(account)])
    if pause := tallies.take(ADDRESS, source):
        raise _refused(
            "address_paused",
            "Too many sign-ins from your address failed",
            "Wait, or sign in from another network.",
            pause,
        )
    if pause := tallies.take(ACCOUNT, account):
        raise _refused(
            "account_paused",
            "Too many sign-ins with this e-mail failed",
            "Wait, or ask staff for a new password link, which ends the pause.",
            pause,
        )


def _refused(code: str, what: str, fix: str, pause: Pause) -> SignInRefused:
    minutes = math.ceil(pause.seconds / 60)
    until = f"{pause.until:%H:%M} UTC (in {minutes} minute{'s' if minutes > 1 else ''})"
    return SignInRefused(
        code, f"{what}, so none is let in until {until}, even with the right password.", fix,
        pause.seconds,
    )  # fmt: skip


def _authenticated(email: str, password: str) -> User:
    user = authenticate(None, username=email, password=password)
    if isinstance(user, User):
        return user
    raise SignInRefused(
        "wrong_password",
        "This e-mail and password don't belong together.",
        "Check both and try again.",
    )


def tell_refused(person: User | None, account: str, address: str | None, code: str) -> None:
    """One event a minute for an account, whether there is one or not; for an address that is
    paused, one in all.

    What a stranger typed stands nowhere: it may be a password in the wrong field.
    """
    metrics.refused_attempts.labels(code).inc()
    actor = Actor("not signed in", source_address=address)
    found = events("user.sign_in_refused", person, actor, code=code)
    repeats.record(("sign_in", account, code), found, settings.SQLITE_TIMEOUT / 1000)


def step_refused(person: User | None, address: str | None, code: str) -> None:
    """Tell of a second step, or a passkey, that wasn't right; `person` None for nobody known."""
    account = account_of(person.email) if person else source_of(address)
    tell_refused(person, account, address, code)


def passkey_was_good(address: str | None) -> None:
    """Uncount an ask that ended well."""
    tallies.give_back(PASSKEYS, source_of(address))


def passkey_pause(address: str | None) -> SignInRefused | None:
    """Count an ask to sign in with a passkey; why it isn't answered, where it isn't."""
    source = source_of(address)
    tallies.prepare([PASSKEYS.key(source)])
    pause = tallies.take(PASSKEYS, source)
    return _refused(
        "address_paused",
        "Too many sign-ins with a passkey were begun from your address",
        "Wait, or sign in from another network.",
        pause,
    ) if pause else None  # fmt: skip

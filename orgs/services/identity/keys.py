"""The keys that this server signs with, from one to the next; times are the database's.

A key is published a day before it signs, since clouds keep what they have fetched, and after
it until its last token is dead. Where clouds read a copy, it signs once the copy has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import SigningKey
from orgs.registries.problems import Failed, Problem, Refused
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import COMMAND_LINE, Actor, record

from . import copies, issuer

ALGORITHM = "RS256"  # what AWS, Google and Azure all take
TOKEN_LIFE = timedelta(minutes=5)
BEFORE = timedelta(days=1)  # it's published for so long before it signs
# The last token's life, and how far two clocks may differ.
AFTER = TOKEN_LIFE + timedelta(minutes=10)
BETWEEN_LOOKS = 60.0  # seconds between two looks whether the copy has the coming key

_State = SigningKey.State
SERVER = Actor("this server", staff=True)


@dataclass(frozen=True)
class Signer:
    """The key that signs now."""

    kid: str
    key: rsa.RSAPrivateKey = field(repr=False)


def signing() -> Signer:
    """The key that signs; makes the first. Raises `Failed` where it doesn't open, or clouds
    can't know it yet."""
    row = _signing()
    if row is None:
        raise Failed(
            "issuer_unreachable",
            f"The copy of this server's keys at {issuer.configured()} doesn't have the new one "
            "yet, so clouds wouldn't know what it signs.",
            "Ask staff to run export_issuer and put what it writes there.",
            retry_after=60,
        )
    return _signer(row)


def coming() -> Signer | None:
    """The key that signs next, None where none waits: for who wants to know before whether a
    cloud takes it (`deploy/prove-keyless`). Raises `Failed` where it doesn't open."""
    row = SigningKey.objects.filter(state=_State.COMING).first()
    return _signer(row) if row else None


def published() -> list[SigningKey]:
    """The keys whose public parts clouds are to know, newest first; makes the first."""
    _turns()  # so that clouds fetch no set without the key that signs next
    dead = Q(state=_State.FORMER, signed_until__lt=Now() - AFTER)
    rows = SigningKey.objects.filter(state__in=SigningKey.PUBLISHED).exclude(dead)
    return list(rows.exclude(kid__in=settings.OIDC_DROPPED_KEYS))


def rotate() -> SigningKey:
    """Make the key that signs next, published from now on. Raises `Refused` `key_coming`
    where one waits already."""
    _signing()
    dead = SigningKey.objects.filter(state=_State.FORMER, signed_until__lt=database_now() - AFTER)
    dead.delete()
    coming = SigningKey.objects.filter(state=_State.COMING).first()
    if coming is None:
        with suppress(IntegrityError), transaction.atomic():  # another may do so, too
            made = _make(_State.COMING, database_now() + BEFORE)
            record(actor=COMMAND_LINE, action="signing_key.made", subject=made.kid)
            return made
        coming = SigningKey.objects.get(state=_State.COMING)
    what = f"The key {coming.kid} is to sign next, from {coming.signs_from:%Y-%m-%d %H:%M} UTC on."
    fix = "Wait until it signs; a key that others may know is dropped with --compromised."
    raise Refused(Problem("key_coming", what, fix))


def drop_all() -> tuple[list[str], SigningKey]:
    """Drop every key at once, private parts and all, and make a new one; gives the dropped
    ones' ids, which belong into OIDC_DROPPED_KEYS, and the new one."""
    while True:
        # Another process may drop them too, or make one, while this waits for the rows.
        with suppress(IntegrityError), transaction.atomic():
            rows = SigningKey.objects.select_for_update().filter(state__in=SigningKey.PUBLISHED)
            kids = [row.kid for row in rows]
            _drop(kids)
            made = _make(_first_state(), database_now())
            _tell_dropped(kids, COMMAND_LINE, new=made.kid)
            _opened.cache_clear()
            return kids, made


def _signer(row: SigningKey) -> Signer:
    assert row.private is not None
    try:
        return Signer(row.kid, _opened(row.private, row.sealed_for))
    except sealed.Unreadable:
        raise Failed(
            "issuer_unreachable",
            "This server's signing key can't be opened with its FERNET_KEYS.",
            "Ask staff to put the former key back last in FERNET_KEYS, or to run "
            "rotate_signing_key --compromised.",
            retry_after=60,
        ) from None


def _signing() -> SigningKey | None:
    """The key whose turn it is; None where clouds can't know any yet."""
    rows = _turns()
    coming = rows.get(_State.COMING)
    if coming is not None and coming.signs_from <= database_now() and _known(coming.kid):
        _begin(coming)
        return SigningKey.objects.filter(state=_State.SIGNING).first()
    return rows.get(_State.SIGNING)


def _turns() -> dict[str, SigningKey]:
    """The key that signs, the one that comes, or both; makes the first."""
    while True:
        turns = SigningKey.objects.filter(state__in=[_State.SIGNING, _State.COMING])
        rows = {row.state: row for row in turns}
        barred = [row.kid for row in rows.values() if row.kid in settings.OIDC_DROPPED_KEYS]
        if barred:
            with transaction.atomic():  # an older database was put back
                _drop(barred)
                _tell_dropped(barred, SERVER)
        elif rows:
            return rows
        else:
            # Another process may be first.
            with suppress(IntegrityError), transaction.atomic():
                _make(_first_state(), database_now())


def _first_state() -> str:
    """Of a key before which there is none: it signs at once, unless a copy has to have it."""
    return _State.COMING if issuer.published_elsewhere() else _State.SIGNING


def _begin(coming: SigningKey) -> None:
    """Have the coming key sign, and the one before it no more."""
    with transaction.atomic():
        turns = SigningKey.objects.select_for_update().filter(
            state__in=[_State.SIGNING, _State.COMING]
        )
        if not any(row.kid == coming.kid and row.state == _State.COMING for row in turns):
            return  # another process did so
        now = database_now()
        SigningKey.objects.filter(state=_State.SIGNING).update(
            state=_State.FORMER, signed_until=now, private=None
        )
        SigningKey.objects.filter(pk=coming.kid).update(state=_State.SIGNING, signs_from=now)
        record(actor=SERVER, action="signing_key.signs", subject=coming.kid)


def _drop(kids: Iterable[str]) -> None:
    SigningKey.objects.filter(pk__in=list(kids)).update(
        state=_State.DROPPED, private=None, signed_until=Now()
    )


def _tell_dropped(kids: list[str], actor: Actor, **properties: str) -> None:
    """Each by an event of its own: a subject holds no more than a few ids."""
    for kid in kids:
        record(actor=actor, action="signing_key.dropped", subject=kid, properties=properties)


def _make(state: str, signs_from: datetime) -> SigningKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    public = {"n": _base64(numbers.n), "e": _base64(numbers.e)}
    row = SigningKey(kid=_thumbprint(public), state=state, public=public, signs_from=signs_from)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    row.private = sealed.seal(pem, row.sealed_for)
    row.save(force_insert=True)
    return row


def _base64(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _thumbprint(public: dict[str, str]) -> str:
    """RFC 7638: the same for a key wherever it is computed."""
    text = json.dumps({"e": public["e"], "kty": "RSA", "n": public["n"]}, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@lru_cache(maxsize=4)
def _opened(private: sealed.Sealed, context: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(private.reveal(context).encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


_looked: dict[str, float] = {}  # by a key's id, when this process looked whether it's there


def _known(kid: str) -> bool:
    """Whether clouds can know the key: where they read a copy, whether that has it."""
    if not issuer.published_elsewhere():
        return True
    if time.monotonic() - _looked.get(kid, float("-inf")) < BETWEEN_LOOKS:
        return False
    if copies.has(kid):
        _looked.pop(kid, None)
        return True
    _looked[kid] = time.monotonic()
    return False


def look_again() -> None:
    """Look at the copy at the next question, however soon that is."""
    _looked.clear()

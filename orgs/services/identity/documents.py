"""What clouds fetch to check what this server signs: the discovery document and the keys.

Served from memory: an answer waits for no database, and says no more than clouds need.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import Issuer
from orgs.models.identity import ONE

from . import issuer, keys

MAX_AGE = 300  # seconds that a cloud may keep the keys
FRESH = 10.0  # seconds that this process does; a dropped key is gone from it after these
STALE = 3600.0  # seconds that it does where the database doesn't answer
NOTED_EVERY = timedelta(minutes=5)

DISCOVERY, KEYS = ".well-known/openid-configuration", ".well-known/jwks.json"


def discovery() -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, 3, as far as a cloud reads it."""
    url = issuer.configured()
    return {
        "issuer": url,
        "jwks_uri": f"{url}/{KEYS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [keys.ALGORITHM],
        "scopes_supported": ["openid"],
        "claims_supported": ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"],
    }


def key_set() -> dict[str, Any]:
    """The public keys (RFC 7517), as the database has them now."""
    return {
        "keys": [
            {
                "kty": "RSA",
                "use": "sig",
                "alg": keys.ALGORITHM,
                "kid": row.kid,
                "n": row.public["n"],
                "e": row.public["e"],
            }
            for row in keys.published()
        ]
    }


class _Held:
    """A text, made anew every few seconds by one of those who want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = b""
        self._made = float("-inf")

    def text(self) -> bytes:
        """Raises `DatabaseError` where there is none, or none of the last hour."""
        age = time.monotonic() - self._made
        if age < FRESH:
            return self._text
        # The first ones wait for it; later ones have the former one meanwhile.
        if not self._lock.acquire(blocking=not self._text):
            return self._text
        try:
            if time.monotonic() - self._made >= FRESH:
                self._text = json.dumps(key_set()).encode()
                self._made = time.monotonic()
        except DatabaseError:
            if age > STALE:
                raise
        finally:
            self._lock.release()
        return self._text

    def forget(self) -> None:
        self._made = float("-inf")
        self._text = b""


held = _Held()


class _Note:
    """When this process writes the next note, so that who asks often brings about no writing."""

    def __init__(self) -> None:
        self._due = float("-inf")

    def is_due(self) -> bool:
        """Whether it's this caller's to write; the next one's minutes later."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + NOTED_EVERY.total_seconds()
        return True

    def again(self) -> None:
        self._due = float("-inf")


note = _Note()


def fetched(address: str | None, agent: str) -> None:
    """Note that someone outside fetched the keys; not more often than every few minutes."""
    try:
        if not address or not ip_address(address).is_global or not note.is_due():
            return
        seen = {"fetched_at": Now(), "fetched_from": address, "fetched_by": agent[:200]}
        if Issuer.objects.bulk_create([Issuer(pk=ONE)], ignore_conflicts=True):
            long_ago = Q(fetched_at=None) | Q(fetched_at__lt=Now() - NOTED_EVERY)
            Issuer.objects.filter(long_ago, pk=ONE).update(**seen)
    except (DatabaseError, ValueError):
        return  # a note that is missing costs nobody anything

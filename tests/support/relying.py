"""What a cloud does with a token of an issuer that it trusts: it fetches the issuer's documents
and keys, keeps the keys as long as it may, and checks the token by them.

With another JWT library than the product signs with.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

LEEWAY = 60  # seconds that two clocks may differ


class NotAccepted(Exception):
    """Why a token isn't accepted: «unreadable» documents, or what is wrong with it: «key»,
    «signature», «issuer», «audience», «subject», «expired», «early», «malformed»."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class RelyingParty:
    """`addresses` says where an issuer really answers. `fetched` has each address that was
    asked for, in order. `patient`, it doesn't look for a key that isn't in what it keeps."""

    def __init__(self, *, patient: bool = False) -> None:
        self.patient = patient
        self.addresses: dict[str, str] = {}
        self.fetched: list[str] = []
        self._kept: dict[str, tuple[float, KeySet]] = {}
        self.clock = time.time

    def forget(self) -> None:
        """Let the time pass for which keys may be kept."""
        self._kept.clear()

    def checked(self, token: str, *, issuer: str, audiences: list[str]) -> dict[str, Any]:
        """The claims of a token of this issuer, for one of these audiences; raises
        `NotAccepted`."""
        kid = _object(token, 0).get("kid")
        if claimed(token).get("iss") != issuer:
            raise NotAccepted("issuer")
        keys = self._keys(issuer)
        if kid not in {key.kid for key in keys.keys} and not self.patient:
            keys = self._keys(issuer, anew=True)  # a new one may have been published
        if kid not in {key.kid for key in keys.keys}:
            raise NotAccepted("key")
        try:
            claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise NotAccepted("signature") from None
        now = self.clock()
        given = claims.get("aud")
        if not {given} & set(audiences):
            raise NotAccepted("audience")
        if now > claims["exp"] + LEEWAY:
            raise NotAccepted("expired")
        if now < claims["nbf"] - LEEWAY or now < claims["iat"] - LEEWAY:
            raise NotAccepted("early")
        if claims["exp"] - claims["iat"] > 3600:
            raise NotAccepted("expired")
        return claims

    def _keys(self, issuer: str, *, anew: bool = False) -> KeySet:
        until, keys = self._kept.get(issuer, (0.0, None))
        if keys is not None and not anew and time.monotonic() < until:
            return keys
        found, _ = self._get(f"{issuer}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise NotAccepted("issuer")
        told, age = self._get(found["jwks_uri"])
        keys = KeySet.import_key_set(told)
        self._kept[issuer] = (time.monotonic() + age, keys)
        return keys

    def _get(self, address: str) -> tuple[dict[str, Any], float]:
        self.fetched.append(address)
        issuer = next((one for one in self.addresses if address.startswith(f"{one}/")), None)
        if issuer is None:
            raise NotAccepted("unreadable")
        there = self.addresses[issuer] + address.removeprefix(issuer)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(there, timeout=5) as answer:
                control = answer.headers.get("Cache-Control", "")
                age = float(control.partition("max-age=")[2].partition(",")[0] or 0)
                return json.load(answer), age
        except (urllib.error.URLError, OSError, ValueError):
            raise NotAccepted("unreadable") from None


def claimed(token: str) -> dict[str, Any]:
    """What a token says, whoever signed it; raises `NotAccepted` «malformed»."""
    return _object(token, 1)


def _object(token: str, which: int) -> dict[str, Any]:
    try:
        text = token.split(".")[which]
        told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, IndexError):
        raise NotAccepted("malformed") from None
    if not isinstance(told, dict):
        raise NotAccepted("malformed")
    return told

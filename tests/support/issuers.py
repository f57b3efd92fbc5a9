"""An issuer of JWTs on loopback, and how a cloud judges what one signed.

A cloud reads an issuer's documents over HTTP, keeps the keys for as long as they say, and
judges by joserfc, which isn't what the product signs with.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, RSAKey

from tests.support.loopback import Handler, Loopback

DISCOVERY = "/.well-known/openid-configuration"


class Unread(Exception):
    """The issuer's documents can't be read, or aren't those of this issuer."""


class NotKnown(Exception):
    """The key that signed isn't among those that were read."""


class NotSigned(Exception):
    """No key of the issuer's has signed it."""


class NotAToken(Exception):
    """It is no JWT."""


def unverified(token: str) -> dict[str, Any]:
    """The claims as they stand, for whoever looks up whom to trust; raises `NotAToken`."""
    try:
        claims = json.loads(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError):
        raise NotAToken from None
    if not isinstance(claims, dict):
        raise NotAToken
    return claims


@dataclass
class Issuers:
    """What a cloud knows of the issuers that its customers trust. `at` says where a name is
    really answered; `fetched` lists what was read, in order."""

    at: dict[str, str] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    _kept: dict[str, tuple[float, KeySet]] = field(default_factory=dict)

    def judged(self, token: str, issuer: str) -> dict[str, Any]:
        """The claims that a key of the issuer's signed; raises `Unread`, `NotKnown`,
        `NotSigned`, `NotAToken`."""
        try:
            return jwt.decode(token, self._keys(issuer), algorithms=["RS256"]).claims
        except InvalidKeyIdError:
            raise NotKnown from None
        except BadSignatureError:
            raise NotSigned from None
        except (JoseError, ValueError):
            raise NotAToken from None

    def forget(self) -> None:
        """Let the time pass for which keys may be kept."""
        self._kept.clear()

    def _keys(self, issuer: str) -> KeySet:
        until, keys = self._kept.get(issuer, (0.0, None))
        if keys is None or time.monotonic() >= until:
            document, _ = self._read(issuer, DISCOVERY)
            where = document.get("jwks_uri", "")
            if document.get("issuer") != issuer or not where.startswith(f"{issuer}/"):
                raise Unread
            told, most = self._read(issuer, where.removeprefix(issuer))
            try:
                keys = KeySet.import_key_set(cast(Any, told))
            except (JoseError, KeyError, TypeError, ValueError):
                raise Unread from None
            self._kept[issuer] = (time.monotonic() + most, keys)
        return keys

    def _read(self, issuer: str, path: str) -> tuple[dict[str, Any], float]:
        """(document, seconds that it may be kept)."""
        self.fetched.append(path)
        try:
            with urllib.request.urlopen(f"{self.at[issuer]}{path}", timeout=5) as answer:
                kept = re.search(r"max-age=(\d+)", answer.headers.get("Cache-Control", ""))
                return json.load(answer), float(kept[1]) if kept else 0.0
        except (KeyError, OSError, ValueError):
            raise Unread from None


class Issuer(Loopback):
    """`with Issuer() as issuer`: it vouches under `name`. `keys` are those that it publishes,
    newest first, which signs; `broken`, it answers with errors."""

    name = "https://registries.example.com"

    def __init__(self) -> None:
        super().__init__()
        self.keys = [_first()]
        self.broken = False

    @staticmethod
    def made() -> RSAKey:
        """One more key."""
        return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)

    def signed(self, subject: str, audience: str, key: RSAKey | None = None, **other: Any) -> str:
        """A JWT as the product makes them, with `other` claims."""
        now, by = int(time.time()), key or self.keys[0]
        claims = {"iss": self.name, "sub": subject, "aud": audience}
        claims |= {"iat": now - 30, "nbf": now - 30, "exp": now + 300} | other
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": by.kid}, claims, by)

    def document(self, path: str) -> dict[str, Any]:
        if path == DISCOVERY:
            return {"issuer": self.name, "jwks_uri": f"{self.name}/.well-known/jwks.json"}
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


@cache
def _first() -> RSAKey:
    """The run's, since one takes a while."""
    return Issuer.made()


class _Handler(Handler):
    def do_GET(self) -> None:
        issuer = cast(Issuer, self.server.provider)
        body = b"" if issuer.broken else json.dumps(issuer.document(self.path)).encode()
        self.say(500 if issuer.broken else 200, body, {"Cache-Control": "public, max-age=300"})


Issuer.handler = _Handler

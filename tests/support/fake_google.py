"""A fake Google on loopback: the token endpoint, which checks what Google's own checks.

An assertion (RFC 7523) is let in only with the signature of a key that its service account
has and that is enabled, for Google's audience, in time by this fake's clock, for scopes that
there are. It answers and refuses in Google's words, collected from public reports. It doesn't
use google-auth; `tests/registries/test_google_cr.py` holds it to that library.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.google_pools import Denied, Pools, Refused
from tests.support.loopback import Handler, Loopback

TOKEN_URI = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in ("cloud-platform", "cloud-platform.read-only", "devstorage.read_only")
)
_ACT_AS = re.compile(r"/v1/projects/-/serviceAccounts/(?P<email>[^/:]+):generateAccessToken")
LEEWAY = 300  # seconds that a clock may be off
UNTIMELY = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


@cache
def private_key(number: int = 0) -> rsa.RSAPrivateKey:
    """The run's keys, made once each."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def document(
    email: str = "valohai-pull@my-project.iam.gserviceaccount.com",
    project: str = "my-project",
    key_id: str = "0123456789abcdef0123456789abcdef01234567",
    key: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """A key file's content as Google writes it, with `more` in place of what it has."""
    quoted = email.replace("@", "%40")
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": key_id,
        "private_key": pem(key or private_key()),
        "client_email": email,
        "client_id": "104567890123456789012",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{quoted}",
        "universe_domain": "googleapis.com",
        **more,
    }


def key_file(**given: Any) -> str:
    """The same as the text of a file."""
    return json.dumps(document(**given), indent=2) + "\n"


@dataclass
class _Account:
    keys: dict[str, tuple[rsa.RSAPublicKey, bool]] = field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True)
class Call:
    """What was asked: by whom, for what, and what came of it (an error's name, or "")."""

    issuer: str
    scope: str
    error: str


class FakeGoogle(Loopback):
    """`with FakeGoogle() as google`: nobody has an account yet.

    `clock` is how many seconds its clock is ahead of ours. `life` is what it says of a
    token's life in seconds, None for nothing. `pools` is Workload Identity Federation, whose
    tokens, where they pull, are told as the others are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.tokens: set[str] = set()
        self.pools = Pools()
        self.life: object = 3599
        self.on_token: Callable[[str], object] | None = None
        self._accounts: dict[str, _Account] = {}
        self._made = 0

    @property
    def clock(self) -> float:
        return self.pools.clock

    @clock.setter
    def clock(self, seconds: float) -> None:
        self.pools.clock = seconds

    def create_account(self, name: str = "valohai-pull", project: str = "my-project") -> str:
        """A service account; its e-mail."""
        email = f"{name}@{project}.iam.gserviceaccount.com"
        self._accounts[email] = _Account()
        return email

    def create_key(self, email: str, **more: Any) -> str:
        """A further key of an account, as the file that Google hands out."""
        self._made += 1
        key, key_id = private_key(self._made), secrets.token_hex(20)
        self._accounts[email].keys[key_id] = (key.public_key(), True)
        project = email.partition("@")[2].partition(".")[0]
        return key_file(email=email, project=project, key_id=key_id, key=key, **more)

    def set_key(self, email: str, key_id: str, *, enabled: bool) -> None:
        keys = self._accounts[email].keys
        keys[key_id] = (keys[key_id][0], enabled)

    def delete_key(self, email: str, key_id: str) -> None:
        del self._accounts[email].keys[key_id]

    def set_account(self, email: str, *, enabled: bool) -> None:
        self._accounts[email].enabled = enabled

    def delete_account(self, email: str) -> None:
        del self._accounts[email]

    # --- judging ----------------------------------------------------------------

    def posted(self, path: str, content: bytes) -> tuple[int, bytes]:
        acting = _ACT_AS.fullmatch(path)
        try:
            if path == "/token":
                status, told = self.answer(parse_qs(content.decode(), keep_blank_values=True))
                return status, json.dumps(told).encode()
            if path == "/v1/token":
                return 200, self._exchanged(content)
            if acting:
                return 200, self._acting(acting["email"], content)
        except Refused as refused:
            told = {"error": refused.error, "error_description": refused.text}
            return refused.status, json.dumps(told).encode()
        except Denied as denied:
            error = {"code": denied.code, "message": denied.message, "status": denied.status}
            return denied.code, json.dumps({"error": error}).encode()
        return 404, b"not found"

    def _exchanged(self, content: bytes) -> bytes:
        minted, told = self.pools.exchange(parse_qs(content.decode()))
        if self.pools.pulls(minted):
            self._made_known(minted)
        return json.dumps(told).encode()

    def _acting(self, email: str, content: bytes) -> bytes:
        bearer = self.requests[-1].get("authorization", "").removeprefix("Bearer ")
        minted, told = self.pools.generate(email, bearer, content)
        self._made_known(minted)
        return json.dumps(told).encode()

    def _made_known(self, token: str) -> None:
        self.tokens.add(token)
        if self.on_token is not None:
            self.on_token(token)

    def answer(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        claims: dict[str, Any] = {}
        try:
            claims = _read(form)[1]
            self._check(form, claims)
        except Refused as refused:
            self._note(claims, refused.error)
            told = {"error": refused.error, "error_description": refused.text}
            return refused.status, told
        token = f"ya29.c.{secrets.token_urlsafe(750)}"
        self._made_known(token)
        self._note(claims, "")
        told = {"access_token": token, "token_type": "Bearer"}
        return 200, told if self.life is None else told | {"expires_in": self.life}

    def _note(self, claims: dict[str, Any], error: str) -> None:
        self.calls.append(Call(str(claims.get("iss")), str(claims.get("scope")), error))

    def _check(self, form: dict[str, list[str]], claims: dict[str, Any]) -> None:
        header, _, signed, signature = _read(form)
        account = self._accounts.get(str(claims.get("iss")))
        if account is None or not account.enabled:
            raise Refused("invalid_grant", "Invalid grant: account not found")
        if header.get("alg") != "RS256":
            raise Refused("invalid_grant", "Invalid JWT Signature.")
        named = header.get("kid")
        keys = [key for key_id, key in account.keys.items() if named in {None, key_id}]
        if not any(enabled and _is_signed(key, signed, signature) for key, enabled in keys):
            raise Refused("invalid_grant", "Invalid JWT Signature.")
        if claims.get("aud") != TOKEN_URI:
            raise Refused("invalid_grant", "Invalid JWT: Failed audience check.")
        begins, ends, now = claims.get("iat"), claims.get("exp"), time.time() + self.clock
        if not (
            isinstance(begins, int)
            and isinstance(ends, int)
            and 0 < ends - begins <= 3600
            and begins <= now + LEEWAY
            and ends >= now - LEEWAY
        ):
            raise Refused("invalid_grant", UNTIMELY)
        scopes = str(claims.get("scope") or "").split()
        if not scopes or not SCOPES.issuperset(scopes):
            what = "Invalid OAuth scope or ID token audience provided."
            raise Refused("invalid_scope", what)


def _read(form: dict[str, list[str]]) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """(header, claims, what is signed, signature) of the assertion."""
    if form.get("grant_type") != [GRANT]:
        raise Refused("unsupported_grant_type", "Invalid grant_type: ")
    (assertion, *more) = form.get("assertion", [""])
    parts = assertion.split(".")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
        if len(parts) != 3 or more or not (isinstance(header, dict) and isinstance(claims, dict)):
            raise ValueError
        return header, claims, ".".join(parts[:2]).encode(), _decoded(parts[2])
    except (ValueError, binascii.Error):
        raise Refused("invalid_grant", "Invalid JWT.") from None


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _is_signed(key: rsa.RSAPublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


class _Handler(Handler):
    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        elsewhere = {"Location": "http://127.0.0.1:9/token"}
        super().say(status, body, elsewhere if status in {301, 302, 307, 308} else headers)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by Google's own clock."""
        google = cast(FakeGoogle, self.server.provider)
        return super().date_time_string(int(time.time() + google.clock))


FakeGoogle.handler = _Handler

"""A service account's key as Google hands it out: a JSON file, read with distrust.

What people paste for it is known by its looks, each with its own sentence. Nothing here
repeats any of what was given.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from .problems import Problem, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers

# The one place that signs service accounts in; what a file says of it must be this.
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
UNIVERSE = "googleapis.com"
# Characters; Google's files have some 2,400.
MOST = 16_384
# Google makes keys of 2,048 bits; larger ones only take their time.
_BITS = range(2048, 4096 + 1)

EMAIL = re.compile(
    r"(?=.{6,254}\Z)[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){0,6}gserviceaccount\.com"
)
# A project's id; older ones of a domain are `example.com:project`.
_PROJECT = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,60}[a-z0-9])?:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_OF_PROJECT = re.compile(r"[^@]+@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{40,}={0,2}\s*")
_PEM = re.compile(r"\s*-----BEGIN ([A-Z0-9 ]{1,40})-----")

CODE = "secret_shape"
GET_ONE = (
    "In IAM & Admin, Service accounts, open the account, create a key of the type JSON, and give "
    "the whole file."
)


@dataclass(frozen=True)
class ServiceAccountKey:
    """What of the file counts. `project` and `key_id` are "" where it names none."""

    email: str
    project: str
    key_id: str
    private_key: str = field(repr=False)


def read(text: str, name: str | None = None) -> ServiceAccountKey:
    """Read a key file, as it is or in base64; raises `Refused`, with one problem of the field
    `name`, for anything else."""
    try:
        return _key_of(_document(text))
    except _Wrong as wrong:
        raise Refused(Problem(CODE, wrong.what, wrong.fix, name)) from None


def plain(text: str) -> str:
    """The JSON in a text that may be in base64, as Terraform's key resources have it; anything
    else as it is."""
    if "{" in text or not _BASE64.fullmatch(text):
        return text
    letters = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        found = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True).decode()
    except ValueError:
        return text
    return found.strip() if found.lstrip().startswith("{") else text


class _Wrong(Exception):
    def __init__(self, what: str, fix: str = GET_ONE) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class _Unwanted(ValueError):
    """Something in the JSON that no key file has; its text is what."""


def _document(text: str) -> dict[str, Any]:
    """The JSON object of the file; raises `_Wrong`."""
    if len(text) > MOST:
        raise _Wrong(f"This is longer than any key file: {MOST:,} characters at most.")
    text = plain(text)
    if not text.lstrip().startswith("{"):
        raise _not_json(text.strip())
    try:
        # Line breaks within a text are what is left of «\\n» in a shell or a .env file.
        found = json.loads(
            text,
            strict=False,
            object_pairs_hook=_once,
            parse_constant=_constant,
            parse_int=_number,
            parse_float=_number,
        )
    except _Unwanted as unwanted:
        raise _Wrong(f"This isn't a key file as Google makes it: {unwanted}.") from None
    except (ValueError, RecursionError):
        if not text.rstrip().endswith("}"):
            raise _Wrong(
                "This begins like a key file, and its end is missing.",
                "Copy all of the file, from the first { to the last }.",
            ) from None
        raise _Wrong(
            "This looks like a key file, and isn't right JSON.",
            "Give the file as Google made it, unchanged.",
        ) from None
    return found if isinstance(found, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unwanted("something stands in it twice")
    return found


def _constant(_: str) -> NoReturn:
    raise _Unwanted("it has a number that is none")


def _number(_: str) -> NoReturn:
    raise _Unwanted("it has a number in it, and key files have none")


def _not_json(text: str) -> _Wrong:
    if pem := _PEM.match(text):
        if "PRIVATE KEY" in pem[1]:
            return _Wrong(
                "This is the private key alone, without whose it is.",
                "Give the whole JSON file that it stands in.",
            )
        return _Wrong("This is a certificate or a public key, not a service account's key.")
    if re.fullmatch(r"AIza[0-9A-Za-z_-]{35}", text):
        return _Wrong("This is an API key of Google's, which opens no registry.")
    if text.startswith("ya29."):
        return _Wrong("This is an access token of Google's, which ends after an hour.")
    if re.fullmatch(r"[^\n]{1,400}\.json", text):
        return _Wrong(
            "This is the name of a file, not what is in it.",
            "Choose the file, or open it and paste all that is in it.",
        )
    if EMAIL.fullmatch(text):
        return _Wrong("This is the e-mail of a service account, not its key.")
    if text.startswith("["):
        return _Wrong("This is a list, and a key file is one object, in braces.")
    return _Wrong("This isn't a service account's key, which is a file of JSON, in braces.")


# What else Google hands out as JSON, by its `type` (google-auth, `_default.py`).
_PERSON = (
    "Give the key of a service account that is made for this and may only read: what a person "
    "may do ends with that person."
)
_OTHERS: Mapping[str, tuple[str, str]] = {
    "authorized_user": (
        "This is a person's own login, as gcloud auth application-default login writes it.",
        _PERSON,
    ),
    "external_account": (
        "This is a set-up of workload identity federation, which holds no key.",
        "Choose GCP Artifact Registry (Workload Identity Federation, no key) as the registry "
        "type, which needs none, or give a service account's key.",
    ),
    "external_account_authorized_user": (
        "This is a person's own login through workforce identity federation.",
        _PERSON,
    ),
    "impersonated_service_account": (
        "This is somebody's login for taking on a service account, not the account's own key.",
        GET_ONE,
    ),
    "gdch_service_account": (
        "This is a service account of Google Distributed Cloud, whose registries are others.",
        "Choose Docker registry (username and password) for a registry of its own.",
    ),
}


def _key_of(told: Mapping[str, Any]) -> ServiceAccountKey:
    _is_a_service_account(told)
    email = _text(told, "client_email")
    if not EMAIL.fullmatch(email):
        raise _Wrong("Its client_email isn't the e-mail of a service account.")
    project = _text(told, "project_id")
    if project and not _PROJECT.fullmatch(project):
        raise _Wrong("Its project_id isn't the id of a project.")
    key_id = _text(told, "private_key_id")
    if key_id and not _KEY_ID.fullmatch(key_id):
        raise _Wrong("Its private_key_id isn't the id of a key.")
    if _text(told, "token_uri") != TOKEN_URI:
        raise _Wrong(
            "Its token_uri isn't Google's, so no login will be asked for there.",
            f"It has to be {TOKEN_URI}, as in every key that Google makes today: create a new one.",
        )
    if _text(told, "universe_domain") not in {"", UNIVERSE}:
        raise _Wrong(
            "Its universe_domain is another cloud's than Google's own.",
            f"Give a key of {UNIVERSE}, the cloud that these registries are in.",
        )
    if not project and (named := _OF_PROJECT.fullmatch(email)):
        project = named["project"]
    return ServiceAccountKey(email, project, key_id, _private_key(_text(told, "private_key")))


def _is_a_service_account(told: Mapping[str, Any]) -> None:
    kind = _text(told, "type")
    if kind == "service_account":
        return
    if kind in _OTHERS:
        raise _Wrong(*_OTHERS[kind])
    if isinstance(told.get("installed"), dict) or isinstance(told.get("web"), dict):
        raise _Wrong("This is an OAuth client of an app, which people sign in with, not a key.")
    if "auths" in told or "credHelpers" in told:
        raise _Wrong("This is a config.json of Docker's, not a service account's key.")
    if not kind:
        raise _Wrong("This is JSON, but no key file: it has no type.")
    raise _Wrong("This isn't a service account's key: its type is another.")


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, "")
    if not isinstance(value, str):
        raise _Wrong(f"Its {name} isn't text.", "Give the file as Google made it, unchanged.")
    return value


def _private_key(text: str) -> str:
    """The key in PEM, once it can be read: RSA, whole, of a length that Google uses."""
    if not text:
        raise _Wrong("It has no private_key.")
    pem = text.replace("\\n", "\n").strip() + "\n"  # escaped once too often
    label = _PEM.match(pem)
    if label is None:
        raise _Wrong("Its private_key isn't in PEM: it doesn't begin with -----BEGIN.")
    if label[1] == "ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" in pem:
        raise _Wrong("Its private_key is locked by a passphrase, which Google's never are.")
    if label[1] not in {"PRIVATE KEY", "RSA PRIVATE KEY"}:
        raise _Wrong("Its private_key is another kind of PEM than a private RSA key.")
    broken = _Wrong(
        "Its private_key can't be read: some of it is missing or changed.",
        "Give the file as Google made it, unchanged; or create a new key.",
    )
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        # Its own check takes 50 ms, and imports have thousands: the sums below are enough.
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise broken from None
    if not isinstance(key, RSAPrivateKey):
        raise _Wrong("Its private_key is of another kind than RSA.")
    if key.key_size not in _BITS:
        raise _Wrong(
            f"Its private_key has {key.key_size:,} bits; Google's have {_BITS[0]:,}, and at most "
            f"{_BITS[-1]:,} are taken."
        )
    if not _fits_together(key.private_numbers()):
        raise broken
    return pem


def _fits_together(parts: RSAPrivateNumbers) -> bool:
    """Whether all of the key's numbers are of one key (RFC 8017, 3.2)."""
    p, q, d = parts.p, parts.q, parts.d
    if min(p, q) < 3 or p * q != parts.public_numbers.n:
        return False
    exponents = all(parts.public_numbers.e * d % (prime - 1) == 1 for prime in (p, q))
    rest = (parts.dmp1, parts.dmq1) == (d % (p - 1), d % (q - 1))
    return exponents and rest and parts.iqmp * q % p == 1

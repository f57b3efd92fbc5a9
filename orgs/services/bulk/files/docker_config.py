"""Logins of Docker's own files as rows: config.json, auth.json, and Kubernetes Secrets.

One row for each address, of the type for a username and password. Only what is in the file
can be imported: an address whose password a credential helper keeps, or whose password
ends within hours, is told with the right way for its registry. What the keys mean is as
Docker, podman (containers-auth.json(5)) and the kubelet read them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orgs.registries.ecr_hosts import parse_ecr_pattern_host
from orgs.registries.images import HUB, HUB_ALIAS, looks_like_host
from orgs.registries.shared_hosts import is_shared

from .columns import PATTERN, TYPE, CellError, shown
from .rows import MAX_COLUMNS, MAX_ROWS, BrokenFile, Row, broken, too_large

_HUBS = frozenset({HUB, HUB_ALIAS, "registry-1.docker.io"})
# What Docker's sign-in by browser keeps beside the login, under keys of no registry.
_SESSION = ("/v1/access-token", "/v1/refresh-token")
_HELPER = re.compile(r"[a-z]+(-[a-z]+){0,3}")
_LONGEST_ADDRESS = 1_000
_DATA = {".dockerconfigjson": False, ".dockercfg": True}

_BY_HAND = "add the entry with a username and a password or token of the registry"
_AWS = "add an entry of an AWS ECR type, which gets such logins by itself"
_GOOGLE = "add the entry as GCP Artifact Registry, with a service account's JSON key"
_AZURE = "add the entry as Azure Container Registry, with a service principal's secret"
_GITHUB = "add the entry with a classic personal access token that may read packages"
_GITLAB = "add the entry with a deploy token that may read the registry"


@dataclass(frozen=True)
class _Temporary:
    """A username under which passwords end; `begins` is how those begin."""

    life: str
    instead: str
    begins: str = ""


_TEMPORARY = {
    "oauth2accesstoken": _Temporary("within an hour", _GOOGLE),
    "00000000-0000-0000-0000-000000000000": _Temporary("within three hours", _AZURE),
    "x-access-token": _Temporary("within an hour", _GITHUB, "ghs_"),
    "gitlab-ci-token": _Temporary("with its job", _GITLAB),
}

Parse = Callable[[str], Any]


def rows_of(document: Any, parse: Parse) -> Iterator[Row] | None:
    """The rows of Docker's own files; None for any other document.

    `parse` reads JSON, counted; raises `BrokenFile`.
    """
    if type(document) is not dict:
        return None
    if document.get("kind") in ("Secret", "List", "SecretList"):
        return _numbered(_secrets(document, parse))
    if _is_config(document):
        return _numbered([_Config(document)])
    if _is_legacy(document):
        return _numbered([_Config({"auths": document})])
    return None


def _is_config(document: Mapping[str, Any]) -> bool:
    holds = (document.get("auths"), document.get("credHelpers"))
    return any(type(part) is dict for part in holds) or type(document.get("credsStore")) is str


def _is_legacy(document: Mapping[str, Any]) -> bool:
    """`.dockercfg`: the addresses stand by themselves."""
    return bool(document) and all(
        type(login) is dict and "auth" in login for login in document.values()
    )


def _numbered(configs: list[_Config]) -> Iterator[Row]:
    if sum(config.size for config in configs) > MAX_ROWS:
        raise too_large()
    number = 0
    for config in configs:
        for row in config.rows(number):
            number = row.number
            yield row
    if not number:
        raise _nothing(configs)


def _nothing(configs: list[_Config]) -> BrokenFile:
    if store := next((config.store for config in configs if config.store), ""):
        return broken(
            "password_elsewhere",
            f"The file holds no passwords: the credential helper{_named(store)} keeps them.",
            f"Leave the file, and {_BY_HAND}.",
        )
    return broken("required", "There is no login in this file.", "Choose one that has “auths”.")


# --- Secrets of Kubernetes ---------------------------------------------------------


def _secrets(document: Mapping[str, Any], parse: Parse) -> list[_Config]:
    items = document.get("items") if document["kind"] != "Secret" else [document]
    if type(items) is not list or len(items) > MAX_ROWS:
        raise _no_secret()
    configs: list[_Config] = []
    size = 0
    for item in items:
        configs.append(_secret(item, parse))
        size += configs[-1].size
        if size > MAX_ROWS:
            raise too_large()
    return configs


def _secret(item: Any, parse: Parse) -> _Config:
    parts = {}
    for name in ("data", "stringData"):
        part = item.get(name) if type(item) is dict and item.get("kind") == "Secret" else None
        parts[name] = part if type(part) is dict else {}
    for key, legacy in _DATA.items():
        text = parts["stringData"].get(key)
        if type(text) is not str:
            encoded = parts["data"].get(key)
            text = _decoded(encoded) if type(encoded) is str else None
        if text is None:
            continue
        try:
            document = parse(text)
        except BrokenFile:
            document = None
        if type(document) is not dict:
            raise _no_secret(f"What a Secret has under {key} isn't a file of Docker's logins.")
        return _Config({"auths": document} if legacy else document, in_secret=True)
    raise _no_secret()


def _no_secret(what: str = "There is a Secret in it that holds no Docker logins.") -> BrokenFile:
    fix = "Leave only Secrets of the type kubernetes.io/dockerconfigjson in the file."
    return broken("not_an_entry", what, fix)


def _decoded(text: str) -> str | None:
    """What base64 stands for, blanks and missing “=” aside; None where it's none, or no text."""
    text = "".join(text.split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


# --- config.json ---------------------------------------------------------------------


class _Config:
    """One file of logins; in a Secret, as the kubelet reads it."""

    def __init__(self, document: Mapping[str, Any], in_secret: bool = False) -> None:
        auths, helpers = document.get("auths"), document.get("credHelpers")
        store = document.get("credsStore")
        self.auths: dict[str, Any] = auths if type(auths) is dict else {}
        self.helpers: dict[str, Any] = helpers if type(helpers) is dict else {}
        self.store: str = store if type(store) is str else ""
        self._in_secret = in_secret

    @property
    def size(self) -> int:
        return len(self.auths) + len(self.helpers)

    def rows(self, before: int) -> Iterator[Row]:
        """Its rows, after so many others."""
        session = self._session()
        number = before
        for address, login in self.auths.items():
            if address not in self.helpers and address not in session:
                number += 1
                yield self._row(number, address, login, bool(session))
        for address, helper in self.helpers.items():
            number += 1
            yield Row(number, {}, [self._kept(number, "credHelpers", address, helper)])

    def _session(self) -> frozenset[str]:
        """The keys of a sign-in by browser, beside the login that it gave."""
        of_hub = (a for a in self.auths if _pattern(a, self._in_secret)[1] == f"{HUB}/*")
        if next(of_hub, None) is None:
            return frozenset()
        return frozenset(address for address in self.auths if address.endswith(_SESSION))

    def _row(self, number: int, address: str, login: Any, beside_session: bool) -> Row:
        host, pattern = _pattern(address, self._in_secret)
        try:
            username, password = self._login(number, address, login, host)
            if not looks_like_host(host) or "@" in address or address.split() != [address]:
                raise _Wrong("invalid", "This isn't the address of a registry.", _NO_ADDRESS)
        except _Wrong as wrong:
            return Row(number, {}, [CellError(number, "auths", _shown(address), *wrong.told)])
        cells = {TYPE: "docker", PATTERN: pattern, "username": username, "password": password}
        return Row(number, cells, remarks=tuple(_remarks(host, pattern, beside_session)))

    def _login(self, number: int, address: str, login: Any, host: str) -> tuple[str, str]:
        """The username and password; raises `_Wrong` where there are none that last."""
        if type(login) is not dict or len(login) > MAX_COLUMNS:
            raise _Wrong("not_an_entry", "This has no keys and values.", "Write them in {}.")
        if parse_ecr_pattern_host(host):
            raise _short_lived("Amazon ECR's passwords end after 12 hours.", _AWS)
        if address.endswith(_SESSION) or login.get("identitytoken") or login.get("registrytoken"):
            what = "This is the token of someone's sign-in, which ends, and no password."
            raise _short_lived(what, _instead(host))
        username, password = _stated(login)
        if not username and not password:
            if self.store:
                told = self._kept(number, "auths", address, self.store)
                raise _Wrong(told.code, told.what, told.fix)
            fix = "Leave it out of the file, or write its “auth”."
            raise _Wrong("required", "There is no password for this address.", fix)
        temporary = _TEMPORARY.get(username)
        if temporary and password.startswith(temporary.begins):
            what = f"Passwords of the username {username} end {temporary.life}."
            raise _short_lived(what, temporary.instead)
        return username, password

    def _kept(self, number: int, column: str, address: str, helper: Any) -> CellError:
        host, _ = _pattern(address, self._in_secret)
        what = f"Its password isn't in the file: the credential helper{_named(helper)} keeps it."
        fix = f"Leave it out of the file, and {_instead(host, helper)}."
        return CellError(number, column, _shown(address), "password_elsewhere", what, fix)


class _Wrong(Exception):
    """Why an address gives no row: code, what happened, what to do."""

    def __init__(self, *told: str) -> None:
        super().__init__(told[0])
        self.told = told


_NO_ADDRESS = "Write the host, such as registry.example.com, or host and path."


def _short_lived(what: str, instead: str) -> _Wrong:
    return _Wrong("short_lived_password", what, f"Leave it out of the file, and {instead}.")


def _stated(login: Mapping[str, Any]) -> tuple[str, str]:
    """Username and password, of `auth` or by themselves."""
    stated = [login.get(name) for name in ("username", "password", "auth")]
    if any(part is not None and type(part) is not str for part in stated):
        raise _Wrong("not_text", "The login isn't text.", "Write it as text, in quotation marks.")
    username, password, auth = (part or "" for part in stated)
    if not auth.strip():
        return username, password
    decoded = _decoded(auth)
    if decoded is None or ":" not in decoded:
        what = "Its “auth” isn't a username, a colon and a password, in base64 and UTF-8."
        raise _Wrong("invalid", what, "Log in anew, and choose the file that this writes.")
    # Docker cuts NUL off the end, which old versions wrote.
    name, _, secret = decoded.partition(":")
    secret = secret.strip("\0")
    if (username and username != name) or (password and password != secret):
        what = "Its “auth” and the username or password beside it differ."
        raise _Wrong("duplicate_column", what, "Keep one of them.")
    return name, secret


def _pattern(address: str, in_secret: bool) -> tuple[str, str]:
    """An address's host, and the pattern of all that Docker, podman or the kubelet would
    log in to with it: without a path the host, else the path and what is below it. Both are
    "" of what is longer than any address."""
    if len(address) > _LONGEST_ADDRESS:
        return "", ""
    scheme, _, rest = address.strip().rpartition("://")
    host, _, path = rest.partition("/")
    parts = [part for part in path.split("/") if part]
    # The API's own address; podman alone takes it for a part of images' names.
    if parts and parts[0] in ("v1", "v2") and (scheme or in_secret or len(parts) == 1):
        del parts[0]
    host = HUB if host.lower() in _HUBS else host
    return host, "/".join([host, *parts, "*"])


def _instead(host: str, helper: Any = "") -> str:
    """The way to an entry for a registry whose login can't be taken from a file."""
    host = host.lower()
    if parse_ecr_pattern_host(host) or helper == "ecr-login":
        return _AWS
    if host.endswith(("gcr.io", "-docker.pkg.dev")) or helper in ("gcloud", "gcr"):
        return _GOOGLE
    if host.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us")):
        return _AZURE
    return _BY_HAND


def _shown(address: str) -> str:
    """What errors may repeat of an address: before an `@` stands a password."""
    return f"‹{len(address)} characters›" if "@" in address else shown(PATTERN, address)


def _named(helper: Any) -> str:
    """A helper's name, where it may be one."""
    known = type(helper) is str and len(helper) <= 30 and _HELPER.fullmatch(helper)
    return f" “{helper}”" if known else ""


def _remarks(host: str, pattern: str, beside_session: bool) -> Iterator[str]:
    if is_shared(host) and pattern == f"{host}/*":
        yield (
            f"The login is for all of {host}, so workers get it for images of anyone there. "
            "Make the entry's pattern narrower afterwards, to the part that is yours."
        )
    if beside_session and host == HUB:
        yield (
            "What Docker keeps of someone's sign-in by browser (access-token, refresh-token) "
            "is left out. Such a login may end with it: a personal access token lasts."
        )

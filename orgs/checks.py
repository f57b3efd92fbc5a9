"""Numbered system checks: what must be true before the server may start."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from orgs.registries import authorities, codes, forward_proxy, sign_in_hosts, trust
from orgs.registries.authorities import Authority
from orgs.registries.catalogue import TYPES, fields_named
from orgs.registries.problems import Refused
from orgs.registries.types import RegistryType

OWN = "valohai"
"""The tag of all of these: what a command has to know before it runs. Django's own, such as of
addresses and models, are the server's and `manage.py check`'s; they take a third of a second."""
# What forms, files and the API call what all entries have.
OF_ALL_TYPES = frozenset(
    {
        *("patterns", "image_pattern", "image_patterns", "registry_type", "type", "version"),
        *("configuration", "owner", "organization", "environments", "enabled", "note"),
        *("use_anyway", "show_fields", "verify", "image", "entry"),
    }
)
_MAKE_KEY = (
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)


@register(OWN)
def fernet_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E001 no keys · E002 a malformed key · E003 HKDF switched on."""
    if not settings.FERNET_KEYS:
        return [
            Error("FERNET_KEYS is not set.", hint=f"Make one with: {_MAKE_KEY}", id="orgs.E001")
        ]
    messages: list[CheckMessage] = []
    for position, key in enumerate(settings.FERNET_KEYS, start=1):
        try:
            Fernet(key)
        except (ValueError, TypeError):
            messages.append(
                Error(
                    f"Key {position} in FERNET_KEYS is not a Fernet key.",
                    hint=f"It has 32 bytes in URL-safe base64. Make one with: {_MAKE_KEY}",
                    id="orgs.E002",
                )
            )
    if getattr(settings, "FERNET_USE_HKDF", True):
        messages.append(
            Error(
                "FERNET_USE_HKDF must be False.",
                hint="With it, any short string passes for a key.",
                id="orgs.E003",
            )
        )
    return messages


@register(OWN)
def secret_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E004 no SECRET_KEY."""
    try:
        settings.SECRET_KEY  # noqa: B018  (Django raises where it is empty)
        return []
    except ImproperlyConfigured:
        pass
    return [
        Error(
            "SECRET_KEY is not set.",
            hint="Put a long random string into .env, or run `make run`, which does.",
            id="orgs.E004",
        )
    ]


@register(OWN)
def requests_outside_transactions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E005 ATOMIC_REQUESTS: AWS would be called inside a transaction."""
    if not settings.DATABASES["default"].get("ATOMIC_REQUESTS"):
        return []
    return [
        Error(
            "ATOMIC_REQUESTS must be off.",
            hint="Remove it from DATABASE_URL: a slow registry would hold locks for everyone.",
            id="orgs.E005",
        )
    ]


@register(OWN)
def networks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E006 a setting of networks names something that isn't an address or a network."""
    messages: list[CheckMessage] = []
    for name in ("TRUSTED_PROXIES", "OUTBOUND_ALLOWED_NETWORKS"):
        for text in getattr(settings, name):
            try:
                ip_network(text, strict=False)
            except ValueError:
                messages.append(
                    Error(
                        f"“{text}” in {name} is not an address or a network.",
                        hint="Write addresses or CIDRs, such as 127.0.0.1,10.0.0.0/8.",
                        id="orgs.E006",
                    )
                )
    return messages


@register(OWN)
def outbound(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E014 OUTBOUND_CA_FILE holds no authorities · W003 one of them has ended · E015
    OUTBOUND_SIGN_IN_HOSTS has what is no pair of hosts, or one twice · E016 HTTPS_PROXY isn't
    a proxy that can be used."""
    return [*_authorities(), *_sign_in_hosts(), *_proxy()]


def _authorities() -> Iterator[CheckMessage]:
    name = settings.OUTBOUND_CA_FILE
    if not name:
        yield from _read_by_all("Name a file or a directory of certificates, or leave it out.")
        return
    hint = "Name a file of certificates in PEM, such as /etc/ssl/company.pem, or leave it out."
    found: tuple[Authority, ...] = ()
    try:
        found = authorities.file(Path(name).read_text("ascii", errors="replace"))
        what = "" if found else "holds no certificate."
    except OSError as error:
        what = f"can't be read ({type(error).__name__})."
    except Refused as refused:
        what = f"can't be used. {refused.problem.what}"
    if what:
        yield Error(f"The file of OUTBOUND_CA_FILE {what}", hint=hint, id="orgs.E014")
    else:
        yield from _read_by_all(hint)
    for problem in authorities.ended(found):
        yield Warning(f"OUTBOUND_CA_FILE: {problem.what}", hint=problem.fix, id="orgs.W003")


def _read_by_all(hint: str) -> Iterator[CheckMessage]:
    """As each connection will read them, AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE among them."""
    try:
        trust.context(ssl.SSLSocket)
    except trust.UnreadableAuthorities as unreadable:
        yield Error(f"What {unreadable} names can't be read.", hint=hint, id="orgs.E014")


def _sign_in_hosts() -> Iterator[CheckMessage]:
    seen = set()
    for text in settings.OUTBOUND_SIGN_IN_HOSTS:
        try:
            found = sign_in_hosts.read(text)
        except sign_in_hosts.Unusable as unusable:
            yield Error(f"OUTBOUND_SIGN_IN_HOSTS: {unusable}", id="orgs.E015")
            continue
        if found in seen:
            yield Error(f"OUTBOUND_SIGN_IN_HOSTS has “{text}” twice.", id="orgs.E015")
        seen.add(found)


def _proxy() -> Iterator[CheckMessage]:
    if why := forward_proxy.fault():
        hint = "Write it as http://user:password@proxy.example.com:3128, or leave it out."
        yield Error(f"HTTPS_PROXY {why}.", hint=hint, id="orgs.E016")


@register(OWN)
def registry_types(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E007 a name that forms and files can't keep apart · E008 a type without a guide ·
    E009 a code that the table doesn't have, or has as another."""
    messages: list[CheckMessage] = []
    for kind in TYPES:
        for field in (*kind.fields, *kind.derived):
            # A value typed for one type may be shown, or stored, as another's.
            mixed = any(other.secret != field.secret for other in fields_named(field.name))
            if mixed or field.name in OF_ALL_TYPES:
                messages.append(
                    Error(
                        f"{kind.slug} can't have a field {field.name}.",
                        hint="Another type's of this name is secret where this isn't, or all "
                        "entries have one. Choose another name.",
                        id="orgs.E007",
                    )
                )
        messages.extend(_codes_of(kind))
        if not (settings.BASE_DIR / "docs" / "guide" / f"{kind.slug}.md").is_file():
            messages.append(
                Error(
                    f"There is no guide to {kind.slug}, and its form leads there.",
                    hint=f"Write docs/guide/{kind.slug}.md.",
                    id="orgs.E008",
                )
            )
    return messages


def _codes_of(kind: RegistryType) -> Iterator[CheckMessage]:
    shapes = {field.shape.code for field in kind.fields if field.shape}
    for code in sorted({*shapes, *kind.denied_fixes}):
        if not codes.known(code):
            yield Error(
                f"{kind.slug} tells {code}, which no table of codes has.",
                hint=f"Give the type its row: codes = {{{code!r}: …}}.",
                id="orgs.E009",
            )
    for code in sorted(set(kind.codes) & set(codes.OURS)):
        yield Error(
            f"{kind.slug} can't have a code {code} of its own.",
            hint="It's one of all types. Choose another name.",
            id="orgs.E009",
        )


@register(OWN, deploy=True)
def plain_http(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.W001 BASE_URL isn't https: tokens and passwords travel in clear."""
    if settings.BASE_URL.startswith("https://"):
        return []
    return [
        Warning(
            "BASE_URL is not https.",
            hint="Put the server behind TLS and set BASE_URL=https://…",
            id="orgs.W001",
        )
    ]

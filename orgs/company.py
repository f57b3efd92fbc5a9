"""Sign-in with a company's own, as the operator set it: providers, whose addresses count as
verified, who comes into which organization. And the system checks of that.

Nothing is remembered: settings are read when they're asked for.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

OIDC, SAML = "oidc", "saml"
ROLES = ("member", "admin")
# Characters: `SocialAccount.provider` keeps who says it, with its kind, and has 200.
MOST = 190
_GROUP = "group:"
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)+")
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")


@dataclass(frozen=True)
class Provider:
    """`kind` is in our addresses, `itself` how the provider names itself (issuer, entity id),
    `name` what people call it."""

    kind: str
    itself: str
    name: str

    @property
    def key(self) -> str:
        """What its people are kept under: the two kinds of one provider may name themselves
        alike, and people otherwise."""
        return f"{self.kind} {self.itself}"


@dataclass(frozen=True)
class Rule:
    """Whoever has an address of `domain`, or is in `group`, comes into an organization."""

    domain: str
    group: str
    slug: str
    role: str


def providers() -> list[Provider]:
    """Those that are set, in the order of the sign-in page."""
    found = []
    if settings.SSO_OIDC_ISSUER:
        found.append(Provider(OIDC, settings.SSO_OIDC_ISSUER, settings.SSO_OIDC_NAME))
    if saml_is_set():
        found.append(Provider(SAML, settings.SSO_SAML_ENTITY_ID, settings.SSO_SAML_NAME))
    return found


def provider(kind: str) -> Provider | None:
    return next((one for one in providers() if one.kind == kind), None)


def saml_is_set() -> bool:
    return bool(settings.SSO_SAML_ENTITY_ID)


def identity_provider() -> dict[str, Any]:
    """SAML's, as python3-saml takes it; raises whatever that does for what can't be read."""
    return _identity_provider(
        settings.SSO_SAML_METADATA,
        settings.SSO_SAML_ENTITY_ID,
        settings.SSO_SAML_URL,
        settings.SSO_SAML_CERTIFICATE,
    )


@lru_cache(maxsize=4)
def _identity_provider(metadata: str, entity: str, url: str, certificate: str) -> dict[str, Any]:
    if metadata:
        from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser

        found = OneLogin_Saml2_IdPMetadataParser.parse(metadata, entity_id=entity)["idp"]
        found.pop("singleLogoutService", None)
        return found
    pem = re.findall(r"-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----", certificate)
    certificates = ["".join(one.split()) for one in pem or [certificate]]
    return {
        "entityId": entity,
        "singleSignOnService": {"url": url},
        "x509cert": certificates[0],
        "x509certMulti": {"signing": certificates},
    }


def is_trusted(email: str) -> bool:
    """Whether the operator says that addresses of this domain are verified."""
    return _domain(email) in settings.SSO_VERIFIED_DOMAINS


def roles(email: str, groups: Iterable[str]) -> dict[str, str]:
    """By the short name of an organization, the most that the rules give somebody in it."""
    member_of = set(groups)
    found: dict[str, str] = {}
    for rule in _rules():
        fits = rule.group in member_of if rule.group else rule.domain == _domain(email)
        if fits and found.get(rule.slug) != "admin":
            found[rule.slug] = rule.role
    return found


def _domain(email: str) -> str:
    return email.rpartition("@")[2].lower()


def _rules() -> Iterator[Rule]:
    for text in settings.SSO_ORGANIZATIONS:
        if rule := _rule(text):
            yield rule


def _rule(text: str) -> Rule | None:
    """What «example.com=acme» or «group:ml-admins=acme:admin» says; None where it isn't one."""
    who, _, where = text.rpartition("=")
    slug, _, role = where.strip().partition(":")
    who, role = who.strip(), role or "member"
    group = who.removeprefix(_GROUP).strip() if who.startswith(_GROUP) else ""
    domain = "" if who.startswith(_GROUP) else who.lower()
    if not (group or _DOMAIN.fullmatch(domain)):
        return None
    if role not in ROLES or not _SLUG.fullmatch(slug):
        return None
    return Rule(domain, group, slug, role)


# --- checks -------------------------------------------------------------------


@register("valohai")
def company_sign_in(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E010 half of a provider is set · E011 an address that can't be its · E012 a rule or
    domain that can't be read · E013 SAML's packages are missing · W002 nobody could come in."""
    return [*_oidc(), *_saml(), *_mapping()]


def _oidc() -> Iterator[CheckMessage]:
    names = ("SSO_OIDC_ISSUER", "SSO_OIDC_CLIENT_ID", "SSO_OIDC_CLIENT_SECRET")
    yield from _all_or_none(names, "All three come from the provider, where you registered this.")
    yield from _address("SSO_OIDC_ISSUER", bare=True)
    yield from _length("SSO_OIDC_ISSUER")
    if settings.SSO_OIDC_ISSUER and "openid" not in settings.SSO_OIDC_SCOPES:
        yield Error(
            "SSO_OIDC_SCOPES is without openid, so nobody would be named.",
            hint="Write openid,profile,email, and what the provider wants for groups.",
            id="orgs.E010",
        )


def _saml() -> Iterator[CheckMessage]:
    given = "SSO_SAML_METADATA" if settings.SSO_SAML_METADATA else "SSO_SAML_URL"
    names: tuple[str, ...] = ("SSO_SAML_ENTITY_ID", given)
    if given == "SSO_SAML_URL":
        names += ("SSO_SAML_CERTIFICATE",)
    hint = "Set the entity id, and the metadata (SSO_SAML_METADATA_FILE) or URL and certificate."
    yield from _all_or_none(names, hint)
    yield from _address("SSO_SAML_URL")
    yield from _length("SSO_SAML_ENTITY_ID")
    if not saml_is_set():
        return
    try:
        import onelogin.saml2.auth  # noqa: F401
    except ImportError:
        yield Error(
            "SAML is set, and the package python3-saml isn't installed.",
            hint="pip install --require-hashes -r requirements-saml.txt",
            id="orgs.E013",
        )
        return
    yield from _readable()
    if not settings.SSO_VERIFIED_DOMAINS:
        yield Warning(
            "SAML is set without SSO_VERIFIED_DOMAINS: it has no word for addresses that are "
            "verified, so nobody new could come in.",
            hint="Name the domains whose addresses your company gives out, such as example.com.",
            id="orgs.W002",
        )


def _readable() -> Iterator[CheckMessage]:
    """Of metadata or certificate, where the rest is there."""
    name = "SSO_SAML_METADATA" if settings.SSO_SAML_METADATA else "SSO_SAML_CERTIFICATE"
    if not getattr(settings, name):
        return
    try:
        told = identity_provider()
        several = told.get("x509certMulti", {}).get("signing") or [told["x509cert"]]
        for one in several:
            x509.load_der_x509_certificate(base64.b64decode(one))
        right = told["entityId"] == settings.SSO_SAML_ENTITY_ID
        if settings.SSO_SAML_METADATA:
            right = right and is_address(told["singleSignOnService"]["url"])
    except Exception:  # of python3-saml, lxml and cryptography, each their own
        right = False
    if not right:
        yield Error(
            f"{name} can't be read, or isn't of SSO_SAML_ENTITY_ID.",
            hint="Take the provider's metadata, or its signing certificate in PEM, as they are.",
            id="orgs.E011",
        )


def _mapping() -> Iterator[CheckMessage]:
    for text in settings.SSO_ORGANIZATIONS:
        if _rule(text) is None:
            yield Error(
                f"“{text}” in SSO_ORGANIZATIONS can't be read.",
                hint="Write example.com=acme or group:ml-admins=acme:admin: a domain or a group, "
                "an organization's short name, and member or admin.",
                id="orgs.E012",
            )
    for domain in settings.SSO_VERIFIED_DOMAINS:
        try:
            validate_email(f"somebody@{domain}")
        except ValidationError:
            yield Error(
                f"“{domain}” in SSO_VERIFIED_DOMAINS is no domain.",
                hint="Write domains such as example.com, separated by commas.",
                id="orgs.E012",
            )


def _all_or_none(names: tuple[str, ...], hint: str) -> Iterator[CheckMessage]:
    missing = [name for name in names if not getattr(settings, name)]
    there = [name for name in names if name not in missing]
    if there and missing:
        set_, unset = (
            f"{' and '.join(s)} {'is' if len(s) == 1 else 'are'}" for s in (there, missing)
        )
        yield Error(f"{set_} set, and {unset} not.", hint=hint, id="orgs.E010")


def _address(name: str, *, bare: bool = False) -> Iterator[CheckMessage]:
    """https, or http on this machine; `bare`: the issuer, with no query."""
    address = getattr(settings, name)
    if address and not (is_address(address) and not (bare and set("?#") & set(address))):
        yield Error(
            f"{name} can't be a provider's address.",
            hint="Write it as the provider does, beginning with https:// (http:// is for this "
            "very machine only).",
            id="orgs.E011",
        )


def _length(name: str) -> Iterator[CheckMessage]:
    if len(getattr(settings, name)) > MOST:
        yield Error(f"{name} is longer than {MOST} characters.",
                    hint="Have the provider give a shorter one.", id="orgs.E011")  # fmt: skip


def is_address(text: object) -> bool:
    """Whether it can be one of a provider: https to anywhere, http to this machine."""
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]{1,2000}", text):
        return False
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or "\\" in text:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

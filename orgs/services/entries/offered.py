"""The types as they are offered here: what needs no stored secret first, where it can work."""

from __future__ import annotations

from django.conf import settings

from orgs.registries import catalogue
from orgs.registries.types import RegistryType
from orgs.services.identity import issuer


def groups() -> dict[str, list[RegistryType]]:
    """The types by what they stand under, in the order that people see here."""
    return {group: sorted(kinds, key=_place) for group, kinds in catalogue.groups().items()}


def not_here(kind: RegistryType) -> str:
    """Why an entry of the type couldn't work on this server as it is set up, and what to do; ""
    where it can."""
    if kind.trusts_issuer and (why := issuer.fault(issuer.configured())):
        return (
            f"Not possible here yet: this server's address as an identity, {issuer.configured()}, "
            f"{why}. Ask staff to set BASE_URL to its https:// address."
        )
    if kind.uses_own_identity and not settings.AWS_SERVER_IDENTITY:
        return (
            "Not possible here yet: this server uses no AWS identity of its own. Ask staff to set "
            "AWS_SERVER_IDENTITY, where it runs inside AWS."
        )
    return ""


def _place(kind: RegistryType) -> int:
    if not kind.awaits_trust:
        return 1
    return 2 if not_here(kind) else 0

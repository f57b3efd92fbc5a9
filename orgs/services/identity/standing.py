"""How this server stands as an issuer: what it's called, what clouds have to reach and be told,
the keys and their turns, who fetched them last, and what came of it.

Reads only: whoever looks makes no key, and asks nobody outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F

from orgs.models import Issuer, Organization, RegistryEntry, SigningKey
from orgs.models.identity import ONE
from orgs.registries.catalogue import TYPES
from orgs.registries.types import Provider
from orgs.services.audit.bounded import Some, some
from orgs.services.audit.clock import database_now

from . import documents, issuer, keys

MOST = 20  # entries
_State = SigningKey.State
_ORDER: list[str] = [_State.SIGNING, _State.COMING, _State.FORMER]


@dataclass(frozen=True)
class Registering:
    """What one cloud is told, and where; `audience` is what tokens for it are made for, ""
    where each entry has another."""

    cloud: str
    where: str
    what: str
    audience: str = ""


_TOLD = {
    Provider.AWS: Registering(
        "AWS",
        "IAM → Identity providers, once an account",
        "An OpenID Connect provider with this issuer and the audience below; each entry's role "
        "trusts that entry's subject.",
        "sts.amazonaws.com",
    ),
    Provider.GOOGLE: Registering(
        "Google",
        "IAM → Workload Identity Federation, once a project",
        "A pool's OpenID Connect provider with this issuer, and an attribute condition that names "
        "the entry's subject; the subject may then act as a service account that only reads.",
    ),
    Provider.AZURE: Registering(
        "Azure",
        "the app registration or managed identity → Federated credentials, for each entry",
        "A credential of another issuer with this issuer, the entry's subject and the audience "
        "below (of clouds of their own: at the entry).",
        "api://AzureADTokenExchange",
    ),
}


@dataclass(frozen=True)
class Turn:
    """A key that clouds are to know; `until` is when a former one is published no more."""

    kid: str
    state: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """`why` is what is wrong with the name, as the end of a sentence, "" where nothing is;
    `former` the name that clouds know, where another is set. `own` says who this server is at AWS,
    None where its own identity isn't used."""

    url: str
    why: str
    former: str
    elsewhere: bool
    told: list[Registering]
    turns: list[Turn]
    fetched: Issuer | None
    own: Issuer | None
    entries: Some[RegistryEntry]

    @property
    def host_and_path(self) -> str:
        return issuer.host_and_path()

    @property
    def addresses(self) -> list[str]:
        """What clouds have to reach."""
        return [f"{self.url}/{name}" for name in (documents.DISCOVERY, documents.KEYS)]


def standing(organization: Organization | None = None) -> Standing:
    """As it is now; with the keyless entries of one organization, or of all."""
    url = issuer.configured()
    row = Issuer.objects.filter(pk=ONE).first()
    named = row.url if row else ""
    return Standing(
        url=url,
        why=issuer.fault(url),
        former=named if named != url else "",
        elsewhere=issuer.published_elsewhere(),
        told=_told(),
        turns=_turns(),
        fetched=row if row and row.fetched_at else None,
        own=(row or Issuer()) if settings.AWS_SERVER_IDENTITY else None,
        entries=_entries(organization),
    )


def _told() -> list[Registering]:
    """Of the clouds that there are keyless types for."""
    clouds = {kind.provider for kind in TYPES if kind.trusts_issuer}
    return [told for cloud, told in _TOLD.items() if cloud in clouds]


def _turns() -> list[Turn]:
    rows = SigningKey.objects.filter(state__in=SigningKey.PUBLISHED)
    now = database_now()
    turns = []
    for row in rows.exclude(kid__in=settings.OIDC_DROPPED_KEYS):
        until = row.signed_until + keys.AFTER if row.signed_until else None
        if until is None or until > now:
            turns.append(Turn(row.kid, row.state, row.signs_from, until))
    return sorted(turns, key=lambda turn: _ORDER.index(turn.state))


def _entries(organization: Organization | None) -> Some[RegistryEntry]:
    """The latest answers first, those without any last; of no made-up organization's."""
    slugs = [kind.slug for kind in TYPES if kind.awaits_trust]
    rows = RegistryEntry.objects.filter(registry_type__in=slugs, enabled=True).defer("secrets")
    rows = rows.filter(organization=organization) if organization else rows.filter(
        organization__made_up=False
    )  # fmt: skip
    rows = rows.select_related("organization").prefetch_related("patterns")
    return some(rows.order_by(F("status_at").desc(nulls_last=True), "id"), MOST)

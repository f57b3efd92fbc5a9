"""One search over all organizations, for staff; what it finds, it finds by its beginning.

Names of organizations, people, projects and tokens are compared with every row of their
tables, of which there are thousands; entries and patterns, of which there may be a million,
by an index only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q, QuerySet

from orgs.models import (
    IndexedPattern,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    User,
    WorkerToken,
)
from orgs.models.entries import KEY_ID
from orgs.registries.images import ImageReference, InvalidImage
from orgs.registries.patterns import InvalidPattern, MatchPattern
from orgs.registries.text import storable
from orgs.services.audit.bounded import Some, some

LONGEST = 200  # characters
SHORTEST = 2  # for names; one letter begins too many
_TOKEN = re.compile(f"{WorkerToken.prefix}_([A-Za-z0-9]{{4,16}})")
_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_ACCOUNT = re.compile(r"[0-9]{4}-?[0-9]{4}-?[0-9]{4}")


@dataclass(frozen=True)
class Sight:
    """What may be found beyond what all staff see on organizations' own pages: `keys`, whose
    key an entry has; `people` of no organization; `projects` of people."""

    keys: bool = False
    people: bool = False
    projects: bool = False


@dataclass(frozen=True)
class Found:
    """What was found of each kind. An entry stands there once, however many of its patterns
    fit."""

    text: str
    organizations: Some[Organization] = field(default_factory=lambda: Some([]))
    people: Some[User] = field(default_factory=lambda: Some([]))
    entries: Some[RegistryEntry] = field(default_factory=lambda: Some([]))
    projects: Some[Project] = field(default_factory=lambda: Some([]))
    workers: Some[WorkerToken] = field(default_factory=lambda: Some([]))

    def __bool__(self) -> bool:
        groups = (self.organizations, self.people, self.entries, self.projects, self.workers)
        return any(groups)


def asked(text: str) -> str:
    """What is searched for of what was typed."""
    return storable(text)[:LONGEST].strip()


def search(text: str, sight: Sight) -> Found:
    """Everything that has this name, id, pattern, account, key or token; a constant number of
    queries."""
    text = asked(text)
    if len(text) < SHORTEST:
        return Found(text)
    return Found(
        text,
        organizations=some(_organizations(text)),
        people=some(_people(text, sight)),
        entries=some(_entries(text, sight)),
        projects=some(_projects(text, sight)),
        workers=some(_workers(text)),
    )


def _organizations(text: str) -> QuerySet[Organization]:
    named = Q(name__icontains=text) | Q(slug__startswith=text.lower())
    former = Organization.objects.filter(former_slugs__slug=text.lower())
    return Organization.objects.filter(named | Q(pk__in=former.values("pk")))


def _people(text: str, sight: Sight) -> QuerySet[User]:
    named = Q(email__startswith=text.lower()) | Q(name__icontains=text)
    found = User.objects.filter(named).order_by("email")
    if not sight.people:
        found = found.filter(pk__in=Membership.objects.values("user"))
    return found.prefetch_related("memberships__organization")


def _projects(text: str, sight: Sight) -> QuerySet[Project]:
    named = Q(name__icontains=text)
    if key := _uuid(text):
        named = Q(pk=key)
    found = Project.objects.filter(named).select_related("organization", "user")
    return found if sight.projects else found.exclude(organization=None)


def _workers(text: str) -> QuerySet[WorkerToken]:
    begun = _TOKEN.match(text)
    named = Q(key_id__startswith=begun[1]) if begun else Q(name__icontains=text)
    found = WorkerToken.objects.filter(named).select_related("organization")
    return found.order_by("name", "-created_at", "pk")


# --- entries ------------------------------------------------------------------


def _entries(text: str, sight: Sight) -> QuerySet[RegistryEntry]:
    """By id, key id or the beginning of a pattern; those in use first."""
    if key := _uuid(text):
        fits = Q(pk=key)
    elif _KEY_ID.fullmatch(text):
        with_key = RegistryEntry.objects.alias(key_id=KEY_ID).filter(key_id=text)
        fits = Q(pk__in=with_key.values("pk") if sight.keys else [])
    else:
        begun = Q(normalized__in=_wider(text))
        for beginning in _beginnings(text):
            begun |= Q(normalized__startswith=beginning)
        fits = Q(pk__in=IndexedPattern.objects.filter(begun).values("entry"))
    found = RegistryEntry.objects.filter(fits).defer("secrets").select_related("organization")
    return found.prefetch_related("patterns").order_by("-enabled", "-created_at", "id")


def _beginnings(text: str) -> list[str]:
    """How a pattern that is meant may begin, as it is stored."""
    if _ACCOUNT.fullmatch(text):
        return [text.replace("-", "") + "."]
    found = {text.rstrip("/*")}
    if image := _image(text):
        found.add(str(image).partition("@")[0].removesuffix(f":{image.tag}"))
    try:
        found.add(str(MatchPattern.parse(text)).rstrip("/*"))
    except InvalidPattern:
        pass
    return sorted(filter(None, found))


def _wider(text: str) -> list[str]:
    """Of an image, the patterns that cover it with all below a part of its path."""
    if (image := _image(text)) is None:
        return []
    host, *parts = str(image).partition("@")[0].split("/")
    return ["/".join([host, *parts[:n], "*"]) for n in range(len(parts) + 1)]


def _image(text: str) -> ImageReference | None:
    try:
        return ImageReference.parse(text)
    except InvalidImage:
        return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

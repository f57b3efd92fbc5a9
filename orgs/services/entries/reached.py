"""What workers reach by an organization's entries, as the files of their clients name it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Q

from orgs.models import IndexedPattern, Organization, WorkerToken
from orgs.registries import authorities
from orgs.registries.catalogue import BY_SLUG, TYPES

MOST_HOSTS = 20


@dataclass(frozen=True)
class Reached:
    """`hosts` are the first that patterns name in full, `newest` is the newest pattern on any
    such host, None where there is none. `certificates` are those that entries have for a
    host, by it. `any_host`: whether there are patterns whose host is open, too."""

    hosts: list[str]
    newest: str | None
    certificates: dict[str, str]
    any_host: bool


def reached(organization: Organization, token: WorkerToken | None = None) -> Reached:
    """By the entries that count, or those of them that are for a token's environment."""
    rows = IndexedPattern.objects.filter(organization=organization, enabled=True)
    if token and not token.any_environment:
        rows = rows.filter(Q(environment=None) | Q(environment=token.environment))
    literal = rows.filter(wildcard_host=False)
    hosts = list(literal.values_list("host", flat=True).distinct().order_by("host")[:MOST_HOSTS])
    newest = literal.order_by("-pk").values_list("text", flat=True).first()
    trusting = [kind.slug for kind in TYPES if kind.trusts_own]
    own = literal.filter(host__in=hosts, entry__registry_type__in=trusting).order_by("host", "pk")
    found: dict[str, dict[str, None]] = {}  # each once, in order
    for host, slug, config in own.values_list(
        "host", "entry__registry_type", "entry__config"
    ).distinct():
        if pem := BY_SLUG[slug].trusting(config):
            found.setdefault(host, {})[pem] = None
    certificates = {host: "".join(_within(pems)) for host, pems in found.items()}
    return Reached(hosts, newest, certificates, rows.filter(wildcard_host=True).exists())


def _within(pems: Iterable[str]) -> Iterator[str]:
    """As many as one entry may have: a page and a script hold them all."""
    left = authorities.LONGEST
    for pem in pems:
        left -= len(pem)
        if left < 0:
            return
        yield pem

"""What this server is called as an OpenID Connect issuer, and that it stays called so.

Clouds trust a name. It's stored as the first token is signed; while another is set, nothing
is signed, until `change_issuer` confirms it (DESIGN «Identity without keys»).
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db import transaction

from orgs.issuer_name import configured, fault, works
from orgs.models import Issuer, RegistryEntry
from orgs.models.identity import ONE
from orgs.registries.catalogue import TYPES
from orgs.registries.problems import Failed, Problem, Refused
from orgs.services.audit.events import COMMAND_LINE, record

__all__ = ["configured", "fault", "works"]


def published_elsewhere() -> bool:
    """Whether clouds read a copy of the documents, which someone puts there
    (`export_issuer`)."""
    return configured() != settings.BASE_URL


def host_and_path() -> str:
    """The name without `https://`, as AWS has it in condition keys and ARNs."""
    return configured().removeprefix("https://")


def stored() -> str:
    """The name that was signed with first; "" before that."""
    row = Issuer.objects.filter(pk=ONE).first()
    return row.url if row else ""


def named() -> str:
    """The name to sign with, stored where it's the first; raises `Failed` issuer_unreachable
    where there is none, or another is set than clouds were told."""
    url = configured()
    if why := fault(url):
        raise Failed(
            "issuer_unreachable",
            f"This server's address as an identity, {url}, {why}, so no cloud can trust it.",
            "Ask staff to set BASE_URL to this server's https:// address (Operations, «Identity "
            "without keys»).",
            retry_after=60,
        )
    row = Issuer.objects.filter(pk=ONE).first()
    if row is None:
        Issuer.objects.bulk_create([Issuer(pk=ONE, url=url)], ignore_conflicts=True)
        row = Issuer.objects.get(pk=ONE)
    if not row.url:
        Issuer.objects.filter(pk=ONE, url="").update(url=url)
        row = Issuer.objects.get(pk=ONE)
    if row.url != url:
        raise Failed(
            "issuer_unreachable",
            f"Clouds know this server as {row.url}, and it's set to be {url} now, so nothing is "
            "signed.",
            "Ask staff to set it back, or to run change_issuer, which lists whose trust "
            "has to be set up anew.",
            retry_after=60,
        )
    return url


def required() -> str:
    """The name that the settings give; raises `Refused` where clouds take none such."""
    url = configured()
    if why := fault(url):
        what = f"This server's address as an identity, {url}, {why}."
        raise Refused(Problem("invalid_issuer", what, "Set OIDC_ISSUER, and run it again."))
    return url


def to_change() -> str:
    """The name that `change` would have signed with; raises `Refused` where it's none, or is
    the one already."""
    url = required()
    if stored() == url:
        what = f"The issuer is {url} already."
        raise Refused(Problem("invalid_issuer", what, "Set OIDC_ISSUER to another first."))
    return url


def change() -> str:
    """Sign with the name that is set from now on; gives the former one. Raises what
    `to_change` does."""
    with transaction.atomic():
        row = Issuer.objects.select_for_update().filter(pk=ONE).first()
        url, former = to_change(), row.url if row else ""
        Issuer.objects.update_or_create(
            pk=ONE,
            defaults={"url": url, "fetched_at": None, "fetched_from": None, "fetched_by": ""},
        )
        record(
            actor=COMMAND_LINE,
            action="issuer.changed",
            subject=url,
            properties={"former": former},
        )
    return former


def trusting() -> Iterator[RegistryEntry]:
    """The entries that rest on what clouds were told of this server, whoever's they are."""
    slugs = [kind.slug for kind in TYPES if kind.trusts_issuer]
    rows = RegistryEntry.objects.filter(registry_type__in=slugs).defer("secrets")
    rows = rows.select_related("organization").prefetch_related("patterns")
    yield from rows.order_by("organization__name", "organization_id", "created_at", "id")

"""The mails that org admins get about their entries.

An organization gets so many in an hour, and then one that says that there is more. Where
many are verified, one says it all at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.urls import reverse

from orgs.models import Membership, Organization, RegistryEntry, User
from orgs.registries import codes
from orgs.registries.private import whole
from orgs.registries.problems import Failed
from orgs.services.tenancy import mails, tallies
from orgs.services.tenancy.mails import Mail

MOST = 20
WINDOW = timedelta(hours=1)
NAMED = 5  # entries of a cause, in the mail about many
_together: ContextVar[bool] = ContextVar("together", default=False)


@contextmanager
def together() -> Iterator[None]:
    """Tell nothing of single entries here, in this context (`contextvars`): who does many
    tells of them all (`many_changed`)."""
    before = _together.set(True)
    try:
        yield
    finally:
        _together.reset(before)


def many_changed(
    organization: Organization, was_failing: Mapping[UUID, bool], address: str
) -> None:
    """Tell of all that stopped working or works again since, in one mail: `was_failing` has
    for each entry whether it was told as failing before. `address` is where to look."""
    found = RegistryEntry.objects.filter(organization=organization, pk__in=was_failing)
    found = found.prefetch_related("patterns").order_by("status_code", "created_at", "id")
    changed = [e for e in found if (e.failure_told_at is not None) != was_failing[e.pk]]
    stopped = [entry for entry in changed if entry.failure_told_at is not None]
    works = [entry for entry in changed if entry.failure_told_at is None]
    if not changed:
        return
    sentences = []
    by_cause: dict[str, list[RegistryEntry]] = defaultdict(list)
    for entry in stopped:
        by_cause[entry.status_code].append(entry)
    for code, alike in sorted(by_cause.items(), key=lambda each: -len(each[1])):
        sentences.append(f"{len(alike):,}: {codes.phrase(code) or code} ({_named(alike)}).")
        sentences.append(f"    {whole(alike[0].status_detail)}")
    if works:
        sentences.append(f"{len(works):,} can be pulled from again ({_named(works)}).")
    told = [
        *([f"{_counted(stopped)} stopped working"] if stopped else []),
        *([f"{_counted(works)} working again"] if works else []),
    ]
    subject = f"{', '.join(told)} in {organization}"
    _send(organization, Mail(subject, sentences, address, (), f"organization {organization.pk}"))


def _counted(entries: list[RegistryEntry]) -> str:
    return str(entries[0]) if len(entries) == 1 else f"{len(entries):,} entries"


def _named(entries: list[RegistryEntry]) -> str:
    more = f" and {len(entries) - NAMED:,} more" if len(entries) > NAMED else ""
    return ", ".join(map(str, entries[:NAMED])) + more


def entry_stopped(entry: RegistryEntry, error: Failed) -> None:
    """Tell the org admins that an entry turned failing, why, and what to do."""
    _tell(entry, f"{entry} stopped working", [whole(error.told), error.fix])


def entry_works(entry: RegistryEntry, *, reached: bool = True) -> None:
    """Tell those who were told that it failed that it works again; `reached` where its
    registry answered, too."""
    what = "Images that it serves can be pulled again."
    if not reached:
        what = "Its login is obtained again. Whether its images are there, nobody saw yet."
    _tell(entry, f"{entry} works again", [what])


def _tell(entry: RegistryEntry, subject: str, sentences: list[str]) -> None:
    if _together.get():
        return
    address = reverse("entry", args=[entry.organization.slug, entry.pk])
    _send(entry.organization, Mail(subject, sentences, address, (), f"entry {entry.pk}"))


def _send(organization: Organization, mail: Mail) -> None:
    """To the org admins, within the organization's number of an hour."""
    if organization.made_up:
        return
    addresses = _admins_of(organization)
    if not addresses:
        return
    sent = tallies.count(f"mails:{organization.pk}", WINDOW)
    if sent <= MOST:
        mails.send(replace(mail, to=addresses))
    elif sent == MOST + 1:
        address = reverse("organization", args=[organization.slug])
        more = [
            f"You got {MOST} e-mails about entries of {organization} within an hour, so the "
            "others of this hour aren't sent.",
            "See under “Needs attention” which entries fail.",
        ]
        about = f"organization {organization.pk}"
        subject = f"More entries of {organization} changed"
        mails.send(Mail(subject, more, address, addresses, about))


def _admins_of(organization: Organization) -> list[str]:
    admins = User.objects.filter(
        is_active=True,
        memberships__organization=organization,
        memberships__role=Membership.Role.ADMIN,
    )
    return list(admins.order_by("email").values_list("email", flat=True))

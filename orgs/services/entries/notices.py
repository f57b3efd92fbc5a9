"""The mails that org admins get about their entries.

An organization gets so many in an hour, and then one that says that there is more.
"""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse

from orgs.models import Membership, Organization, RegistryEntry, User
from orgs.registries.private import whole
from orgs.registries.problems import Failed
from orgs.services.tenancy import mails, tallies
from orgs.services.tenancy.mails import Mail

MOST = 20
WINDOW = timedelta(hours=1)


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
    organization = entry.organization
    if organization.made_up:
        return
    addresses = _admins_of(organization)
    if not addresses:
        return
    sent = tallies.count(f"mails:{organization.pk}", WINDOW)
    if sent <= MOST:
        address = reverse("entry", args=[organization.slug, entry.pk])
        mails.send(Mail(subject, sentences, address, addresses, f"entry {entry.pk}"))
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

"""The mails that org admins get; sent beside the request, which hardly waits for them.

An organization gets so many in an hour, and then one that says that there is more.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from orgs.models import Membership, Organization, RegistryEntry, User
from orgs.registries.private import whole
from orgs.registries.problems import Failed
from orgs.services.tenancy import tallies

# Seconds: a mail server that answers has taken it by then; a slow one is left to itself.
PATIENCE = 1.0
MOST = 20
WINDOW = timedelta(hours=1)

log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(1, thread_name_prefix="notices")
_sending: set[Future[None]] = set()


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


def drain() -> None:
    """Wait until nothing is being sent (tests, shutdown)."""
    wait(list(_sending))


def _tell(entry: RegistryEntry, subject: str, sentences: list[str]) -> None:
    organization = entry.organization
    addresses = _admins_of(organization)
    if not addresses:
        return
    mails = tallies.count(f"mails:{organization.pk}", WINDOW)
    if mails <= MOST:
        address = reverse("entry", args=[organization.slug, entry.pk])
        _mail(subject, sentences, address, addresses, f"entry {entry.pk}")
    elif mails == MOST + 1:
        address = reverse("organization", args=[organization.slug])
        more = [
            f"You got {MOST} e-mails about entries of {organization} within an hour, so the "
            "others of this hour aren't sent.",
            "See under “Needs attention” which entries fail.",
        ]
        about = f"organization {organization.pk}"
        _mail(f"More entries of {organization} changed", more, address, addresses, about)


def _admins_of(organization: Organization) -> list[str]:
    admins = User.objects.filter(
        is_active=True,
        memberships__organization=organization,
        memberships__role=Membership.Role.ADMIN,
    )
    return list(admins.order_by("email").values_list("email", flat=True))


def _mail(
    subject: str, sentences: list[str], address: str, addresses: list[str], about: str
) -> None:
    lines = [*filter(None, sentences), "", f"{settings.BASE_URL}{address}"]
    mail = EmailMessage(subject, "\n".join(lines), to=addresses)
    sending = _pool.submit(_send, mail, about)
    _sending.add(sending)
    sending.add_done_callback(_sending.discard)
    wait([sending], timeout=PATIENCE)


def _send(mail: EmailMessage, about: str) -> None:
    try:
        mail.send()
    except Exception as error:
        # Its text may hold addresses and what the mail server said.
        log.error("the mail about %s wasn't sent: %s", about, type(error).__name__)

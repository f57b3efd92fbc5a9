"""The mails that org admins get; sent beside the request, which hardly waits for them."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from orgs.models import Membership, RegistryEntry, User
from orgs.registries.base import LoginError

# Seconds: a mail server that answers has taken it by then, and a slow one holds nobody up.
PATIENCE = 1.0

log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(1, thread_name_prefix="notices")
_sending: set[Future[None]] = set()


def entry_stopped(entry: RegistryEntry, error: LoginError) -> None:
    """Tell the org admins that an entry turned failing, why, and what to do."""
    _tell(entry, f"{entry} stopped working", [error.what, error.fix])


def entry_works(entry: RegistryEntry) -> None:
    """Tell those who were told that it failed that it works again."""
    _tell(entry, f"{entry} works again", ["Images that it serves can be pulled again."])


def drain() -> None:
    """Wait until nothing is being sent (tests, shutdown)."""
    wait(list(_sending))


def _tell(entry: RegistryEntry, subject: str, sentences: list[str]) -> None:
    admins = User.objects.filter(
        is_active=True,
        memberships__organization=entry.organization_id,
        memberships__role=Membership.Role.ADMIN,
    )
    addresses = list(admins.order_by("email").values_list("email", flat=True))
    if not addresses:
        return
    address = reverse("entry", args=[entry.organization.slug, entry.pk])
    lines = [*filter(None, sentences), "", f"{settings.BASE_URL}{address}"]
    mail = EmailMessage(subject, "\n".join(lines), to=addresses)
    sending = _pool.submit(_send, mail, str(entry.pk))
    _sending.add(sending)
    sending.add_done_callback(_sending.discard)
    wait([sending], timeout=PATIENCE)


def _send(mail: EmailMessage, entry_id: str) -> None:
    try:
        mail.send()
    except Exception as error:
        # Its text may hold addresses and what the mail server said.
        log.error("the mail about entry %s wasn't sent: %s", entry_id, type(error).__name__)

"""Notices: to the org admins who want them by e-mail, and to the organization's address.

One notice is one of both, counted once: an organization gets so many in an hour, and then
one that says that there is more. Called after the commit; nobody waits for what is outside.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse

from orgs.models import Membership, NoticeAddress, Organization, User
from orgs.services.audit.clock import database_now

from . import mails, tallies, webhooks
from .mails import Mail

MOST = 20
WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Notice:
    """What happened (`event`, for programs), said in sentences; `address` is a path of ours
    to look at it. `about` is what the log calls it. `facts` are what programs get besides:
    any of `entry`, `code`, `what`, `fix`."""

    event: str
    subject: str
    sentences: Sequence[str]
    address: str
    about: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def notify(organization: Organization, notice: Notice) -> None:
    """Tell all who are to be told; a made-up organization has nobody."""
    if organization.made_up:
        return
    to = to_be_mailed(organization)
    row = NoticeAddress.objects.filter(organization=organization).first()
    if not to and row is None:
        return
    sent = tallies.count(f"mails:{organization.pk}", WINDOW)
    if sent == MOST + 1:
        notice = _more(organization)
    elif sent > MOST:
        return
    if row is not None:
        webhooks.send(row, content(row.kind, organization, notice))
    if to:
        mails.send(Mail(notice.subject, notice.sentences, notice.address, to, notice.about))


def to_be_mailed(organization: Organization) -> list[str]:
    """The addresses of its org admins who want e-mails."""
    admins = User.objects.filter(
        is_active=True,
        memberships__organization=organization,
        memberships__role=Membership.Role.ADMIN,
        memberships__notices_by_mail=True,
    )
    return list(admins.order_by("email").values_list("email", flat=True))


def content(kind: str, organization: Organization, notice: Notice) -> bytes:
    """What is posted, in UTF-8: `{"text": …}`, or our own JSON."""
    url = f"{settings.BASE_URL}{notice.address}"
    if kind == NoticeAddress.Kind.SLACK:
        lines = [f"*{_plain(notice.subject)}*", *map(_plain, filter(None, notice.sentences)), url]
        return json.dumps({"text": "\n".join(lines)}).encode()
    told = {
        "id": str(uuid.uuid4()),
        "event": notice.event,
        "at": database_now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "organization": organization.slug,
        "subject": notice.subject,
        "url": url,
        "entry": None,
        "code": "",
        "what": " ".join(filter(None, notice.sentences)),
        "fix": "",
    }
    return json.dumps(told | dict(notice.facts)).encode()


def _plain(text: str) -> str:
    """What Slack would read as a mention or a link is text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _more(organization: Organization) -> Notice:
    sentences = [
        f"{organization} got {MOST} notices about its entries within an hour, so the others of "
        "this hour aren't sent.",
        "See under “Needs attention” which entries fail.",
    ]
    address = reverse("organization", args=[organization.slug])
    subject = f"More entries of {organization} changed"
    about = f"organization {organization.pk}"
    return Notice("notices.more", subject, sentences, address, about)

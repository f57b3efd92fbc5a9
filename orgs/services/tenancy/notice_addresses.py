"""Who gets an organization's notices: its own address, set by org admins, and each of them
by e-mail, as they choose."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import timedelta
from ipaddress import ip_address

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from orgs.models import Membership, NoticeAddress, Organization, User
from orgs.registries.problems import Problem, Refused
from orgs.sealed import seal
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor

from . import tallies, webhooks
from .notifying import Notice, content
from .organizations import require_admin
from .webhooks import Outcome
from .writing import tell, written

MOST = 1000  # characters of an address
MOST_TESTS, WITHIN = 10, timedelta(minutes=10)
PREFIX = "vhns_"

# Read in full: no user, no fragment, nothing that two readers take for different hosts.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
# Of a shorter path four characters would be much of what is secret.
_ENDING_SHOWN = 16


def address_set(
    *, organization: Organization, actor: Actor, kind: str, address: str
) -> tuple[NoticeAddress, str]:
    """The organization's one, in place of the one before; and a webhook's signing secret,
    this once, where it's a new one: "" where the one before stays. Raises `Refused`."""
    if kind not in NoticeAddress.Kind.values:
        raise Refused(Problem("invalid", "There is no such kind.", "Choose one.", "kind"))
    host, path = _read(address)
    with written(organization) as standing:
        require_admin(standing, actor)
        row = NoticeAddress.objects.filter(organization=standing).first()
        before = row.shown if row else ""
        row = row or NoticeAddress(organization=standing)
        row.kind, row.host = kind, host
        row.ending = path[-4:] if len(path) >= _ENDING_SHOWN else ""
        row.address = seal(address, row.sealed_for)  # type: ignore[assignment]
        row.set_at, row.delivered_at, row.failed_at = database_now(), None, None
        row.failure, text = "", ""
        if kind == NoticeAddress.Kind.SLACK:
            row.secret = None  # type: ignore[assignment]
        elif row.secret is None:
            text = _new_secret(row)
        row.save()
        told = {"kind": row.kind, "address": row.shown} | ({"before": before} if before else {})
        tell("notices.address_set", actor, standing, row, told)
    return row, text


def secret_replace(*, organization: Organization, actor: Actor, generation: int) -> str:
    """Another signing secret, this once; "" where the one of `generation` was replaced
    already, or there is none."""
    with written(organization) as standing:
        require_admin(standing, actor)
        row = NoticeAddress.objects.filter(organization=standing).first()
        if row is None or row.secret is None or row.secret_generation != generation:
            return ""
        text = _new_secret(row)
        row.save(update_fields=["secret", "secret_generation"])
        tell("notices.secret_replaced", actor, standing, row, {})
    return text


def address_remove(*, organization: Organization, actor: Actor) -> None:
    """Erase it with its secret; e-mails go on."""
    with written(organization) as standing:
        require_admin(standing, actor)
        row = NoticeAddress.objects.filter(organization=standing).first()
        if row is not None:
            told = {"before": {"kind": row.kind, "address": row.shown}}
            tell("notices.address_removed", actor, standing, row, told)
            row.delete()


def address_test(row: NoticeAddress) -> Outcome:
    """Send a test, and tell what came back; raises `Refused`, `places.Full`."""
    organization = row.organization
    if organization.made_up:
        what = f"{organization} is made up, so nothing is sent for it."
        raise Refused(Problem("made_up", what, "Try it in a real organization."))
    if tallies.count(f"notice-tests:{organization.pk}", WITHIN) > MOST_TESTS:
        what = f"{MOST_TESTS} tests were sent within ten minutes."
        raise Refused(Problem("too_many", what, "Try again in some minutes."))
    sentences = ["This is a test: notices of Valohai Registries arrive here."]
    address = reverse("notices", args=[organization.slug])
    about = f"organization {organization.pk}"
    notice = Notice("test", f"Test of {organization}", sentences, address, about)
    return webhooks.test(row, content(row.kind, organization, notice))


def mails_choose(
    *, person: User, actor: Actor, of: Collection[int], wanted: Collection[int]
) -> None:
    """Whether they get e-mails about the entries of these organizations that they administer:
    of those `wanted`, by their ids, and no other of `of`."""
    with transaction.atomic():
        rows = person.memberships.select_for_update(of=("self",)).select_related("organization")
        for row in rows.filter(organization__in=of, role=Membership.Role.ADMIN):
            after = row.organization_id in wanted
            if row.notices_by_mail != after:
                told = {"changes": {"e-mail": [row.notices_by_mail, after]}}
                row.notices_by_mail = after
                row.save(update_fields=["notices_by_mail"])
                tell("notices.mail_chosen", actor, row.organization, person, told)


def _new_secret(row: NoticeAddress) -> str:
    text = PREFIX + secrets.token_urlsafe(32)
    row.secret = seal(text, row.secret_sealed_for)  # type: ignore[assignment]
    row.secret_generation += 1
    return text


def _is_host(text: str) -> bool:
    """Whether what stands in brackets is an address of IPv6; a name is the DNS's to judge."""
    try:
        return text[:1] != "[" or ip_address(text.strip("[]")).version == 6
    except ValueError:
        return False


def _read(address: str) -> tuple[str, str]:
    """Its host with the port where one is written, and what follows; raises `Refused`. The
    address isn't repeated: it may be a secret."""
    found = _ADDRESS.fullmatch(address) if len(address) <= MOST else None
    port = found["port"] if found else None
    wrong = found is None or (port is not None and not 0 < int(port) < 65536)
    if wrong or found is None or not _is_host(found["host"]):
        what = "This isn't the address of a webhook."
        fix = "Copy it whole: https://, the host and its path, without spaces, a user or a #."
        raise Refused(Problem("invalid", what, fix, "address"))
    if found["scheme"] == "http" and not settings.OUTBOUND_ALLOWED_NETWORKS:
        what = "Notices go over https: without it anyone on the way reads along."
        raise Refused(Problem("invalid", what, "Write the address with https.", "address"))
    return found["host"] + (f":{port}" if port else ""), found["path"]

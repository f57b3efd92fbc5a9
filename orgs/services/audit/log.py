"""Reading the audit log: filters, pages, export, and pruning what is past keeping."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from orgs.models import AuditEvent, Organization
from orgs.models.audit import RARE_ACTION, RARE_CODE
from orgs.registries import codes
from orgs.registries.private import whole
from orgs.registries.text import storable

from . import asked, repeats
from .bounded import newest
from .cells import escape

PAGE = 50
EXPORTED = 1000  # events read at once
BATCH = 5000
# What people call them; the first part is the guide's Category.
ACTIONS = {
    "entry.created": "Entry added",
    "entry.updated": "Entry changed",
    "entry.enabled": "Entry enabled",
    "entry.disabled": "Entry disabled",
    "entry.deleted": "Entry deleted",
    "entry.verified": "Entry checked",
    "run.begun": "Long work begun",
    "login.issued": "Login given",
    "login.refused": "Login refused",
    "login.reported": "Login reported by a worker",
    "token.issued": "Token issued",
    "token.revoked": "Token revoked",
    "token.refused": "Ended token refused",
    "organization.created": "Organization added",
    "organization.updated": "Organization renamed",
    "organization.deleted": "Organization deleted",
    "project.created": "Project added",
    "project.updated": "Project changed",
    "project.archived": "Project archived",
    "project.unarchived": "Project unarchived",
    "project.deleted": "Project deleted",
    "environment.created": "Environment added",
    "environment.updated": "Environment renamed",
    "environment.deleted": "Environment deleted",
    "member.added": "Member added",
    "member.role_changed": "Member's role changed",
    "member.removed": "Member removed",
    "notices.address_set": "Address for notices set",
    "notices.address_removed": "Address for notices removed",
    "notices.secret_replaced": "Notices' signing secret replaced",
    "notices.mail_chosen": "E-mails about entries chosen",
    "invitation.created": "Person invited",
    "invitation.resent": "Invitation sent again",
    "invitation.withdrawn": "Invitation withdrawn",
    "invitation.accepted": "Invitation accepted",
    "user.created": "Person added",
    "user.updated": "Person changed",
    "user.link_issued": "Password link made",
    "user.password_changed": "Password changed",
    "user.link_asked": "Password link asked for",
    "user.email_asked": "Link for an e-mail asked for",
    "user.signed_in": "Signed in",
    "user.sign_in_refused": "Sign-in refused",
    "user.second_step_added": "Second step added",
    "user.second_step_removed": "Second step removed",
    "user.recovery_codes_made": "Recovery codes made",
    "user.sessions_ended": "Sessions ended",
    "user.company_connected": "Company sign-in connected",
    "user.company_disconnected": "Company sign-in ended",
    "user.deleted": "Person deleted",
    "secrets.rotated": "Secrets re-sealed",
    "issuer.changed": "Issuer changed",
    "signing_key.made": "Signing key made",
    "signing_key.signs": "Signing key signs",
    "signing_key.dropped": "Signing key dropped",
}
# The platform's own export has these columns (FACTS), and Result beside them.
COLUMNS = (
    "Timestamp",
    "Category",
    "Type",
    "Subject",
    "Properties",
    "Project",
    "Actor",
    "Source",
    "Result",
)


# Of an organization's events, those that have a code of the table.
_WITH_CODES = frozenset({codes.LOGIN, codes.TOKEN, codes.REPORT, codes.VERIFIED})


_LOOKUPS = {
    "actor": "actor",
    "action": "action",
    "subject": "subject__startswith",
    "project": "project",
    "result": "code",
}
_BY_INDEX = (*_LOOKUPS, "source")
# Events that may be looked at one by one, where no index has what is asked.
LOOKED_AT = 20_000


@dataclass(frozen=True)
class Filters:
    """What to look for; an empty one is no limit. Texts are compared whole, but for
    `subject`, which may be a beginning. Days are those of the
    reader's zone, both included."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    project: str = ""
    result: str = ""
    source: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, given: Any) -> Filters:
        """From a query string's values; what can't be a value is no limit."""
        told = {f.name: storable(str(given.get(f.name, ""))) for f in fields(cls)}
        return cls(**{name: text.strip()[:700] for name, text in told.items()})


def in_words(filters: Filters) -> list[str]:
    """In words what is looked for, one for each that is set."""
    words = (
        filters.actor,
        ACTIONS.get(filters.action, filters.action),
        filters.subject and f"{filters.subject}…",
        filters.project,
        filters.result,
        filters.source,
        f"from {filters.since}" if asked.day(filters.since) else "",
        f"to {filters.until}" if asked.day(filters.until) else "",
    )
    return [word for word in words if word]


@dataclass(frozen=True)
class Page:
    """A screen of events, newest first; `older` is where the next one begins, or ""."""

    events: list[AuditEvent]
    older: str


def events_of(organization: Organization, filters: Filters) -> QuerySet[AuditEvent]:
    """The organization's events that fit, newest first."""
    return _events_of(organization.pk, filters)


def _events_of(organization_id: int, filters: Filters) -> QuerySet[AuditEvent]:
    found = AuditEvent.objects.filter(organization_id=organization_id).order_by("-at", "-id")
    return _within(_narrowed(found, filters, _BY_INDEX), filters)


def events_everywhere(
    filters: Filters, organization_id: int | None = None, *, staff: bool = False
) -> QuerySet[AuditEvent]:
    """The events that fit, of all organizations or of one, which may be gone, newest first;
    with `staff` only what staff did.

    Of one, as `events_of`. Of all, days, what and result are found by an index; what else
    there is to fit is looked for among the newest `LOOKED_AT` of those.
    """
    if organization_id is not None:
        found = _events_of(organization_id, filters)
        return among_newest(found).filter(staff=True) if staff else found
    found = _within(AuditEvent.objects.order_by("-at", "-id"), filters)
    if filters.action:
        found = found.filter(action=filters.action)
        # Every event but the usual one is in the index of these.
        found = found if filters.action == "login.issued" else found.filter(RARE_ACTION)
    if filters.result:
        found = found.filter(code=filters.result)
        found = found if filters.result == "ok" else found.filter(RARE_CODE)
    slow = {"actor", "subject", "project", "source"}
    if staff or any(getattr(filters, name) for name in slow):
        found = _narrowed(among_newest(found), filters, slow)
    return found.filter(staff=True) if staff else found


def among_newest(found: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """The newest of them, so few that each may be looked at."""
    return newest(found, LOOKED_AT)[0]


def _narrowed(
    found: QuerySet[AuditEvent], filters: Filters, names: Collection[str]
) -> QuerySet[AuditEvent]:
    for name, lookup in _LOOKUPS.items():
        if name in names and (value := getattr(filters, name)):
            found = found.filter(**{lookup: value})
    if "source" in names and filters.source:
        known = _address(filters.source)
        found = found.filter(source_address=filters.source) if known else found.none()
    return found


def _within(found: QuerySet[AuditEvent], filters: Filters) -> QuerySet[AuditEvent]:
    if since := asked.day(filters.since):
        found = found.filter(at__gte=since)
    if until := asked.day(filters.until, later=1):
        found = found.filter(at__lt=until)
    return found


def results() -> dict[str, str]:
    """What an organization's events may have as their result, and what each says."""
    told = {code: row.says for code, row in codes.table().items() if row.event in _WITH_CODES}
    return {"ok": "It went well."} | told


def page_of(events: QuerySet[AuditEvent], before: str = "", size: int = 0) -> Page:
    """The page that begins after the event `before` («<ISO time>_<id>»).

    By position in the order, not by number: the hundredth page costs what the first does.
    """
    size = size or PAGE
    if position := _position(before):
        at, pk = position
        events = events.filter(Q(at__lt=at) | Q(at=at, id__lt=pk), at__lte=at)
    found = list(events[: size + 1])
    for event in found:
        event.properties = told(event)
    last = found[size - 1] if len(found) > size else None
    return Page(found[:size], f"{last.at.isoformat()}_{last.pk}" if last else "")


def told(event: AuditEvent) -> dict[str, Any]:
    """Its properties as the log tells them: who reads it sees private parts."""
    properties = dict(event.properties)
    if isinstance(reason := properties.get("reason"), str):
        properties["reason"] = whole(reason)
    return properties


def export(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """The events as CSV, line by line; no cell is taken for a formula.

    Read page by page: over one long cursor PostgreSQL would sort them all first.
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    before, more = "", True
    while more:
        page = page_of(events, before, EXPORTED)
        for event in page.events:
            yield writer.writerow([escape(cell) for cell in _cells(event)])
        before, more = page.older, bool(page.older)


def _cells(event: AuditEvent) -> tuple[str, ...]:
    return (
        event.at.isoformat(timespec="seconds"),
        event.action.partition(".")[0],
        ACTIONS.get(event.action, event.action),
        event.subject,
        json.dumps(event.properties, ensure_ascii=False) if event.properties else "",
        event.project,
        f"{event.actor} (staff)" if event.staff else event.actor,
        event.source_address or "",
        event.code,
    )


def prune() -> int:
    """Drop events older than AUDIT_RETENTION_DAYS; how many went.

    In batches, each its own transaction, so that logins needn't wait for it.
    """
    cutoff = timezone.now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    dropped = 0
    while True:
        with _pruning():
            old = AuditEvent.objects.filter(at__lt=cutoff).order_by("at")
            oldest = list(old.values_list("pk", flat=True)[:BATCH])
            gone = _drop(AuditEvent.objects.filter(pk__in=oldest))
        dropped += gone
        if gone < BATCH:
            return dropped


def drop_made_up(organization: Organization) -> int:
    """Drop the events of a made-up organization, and what is counted beside them; how many
    went. By the door that pruning goes through; a real one's events stay, and so do those of
    real people's accounts, which stand in the log of each organization that they are in."""
    assert organization.made_up, "only what is made up may go before its time"
    repeats.write_of(organization.pk)
    with _pruning():
        own = AuditEvent.objects.filter(organization_id=organization.pk)
        return _drop(own.exclude(action__startswith="user."))


@contextmanager
def _pruning() -> Iterator[None]:
    """A transaction, or a part of one, in which PostgreSQL lets events go (migration 0002)."""
    with transaction.atomic():
        _let_go("on")
        yield
        _let_go("off")  # for the rest of it


def _let_go(word: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('orgs.pruning', %s, true)", [word])


def _drop(found: QuerySet[AuditEvent]) -> int:
    """Past the queryset's own delete(), which refuses."""
    return found._raw_delete(connection.alias) or 0


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line


def _address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _position(text: str) -> tuple[datetime, int] | None:
    at, _, pk = text.rpartition("_")
    moment, number = asked.moment(at), asked.number(pk)
    return None if moment is None or number is None else (moment, number)

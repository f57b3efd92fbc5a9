"""What the audit log tells of logins: a worker token's first, the last of an entry,
and the last refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orgs.models import AuditEvent, AuditEventQuerySet, Organization, RegistryEntry, WorkerToken
from orgs.registries.private import stored

SHOWN = 5


@dataclass(frozen=True)
class LoginEvent:
    """A login given or refused; `reason` is why, "" where it was given."""

    at: datetime
    actor: str
    source_address: str | None
    image: str
    project: str
    environment: str
    code: str
    reason: str
    # How often it was repeated, where this is the event of the repeats.
    times: int = 0

    @property
    def is_image(self) -> bool:
        """Else it is a whole server, or what wasn't a project's at all."""
        return "/" in self.image


def first_login(token: WorkerToken) -> LoginEvent | None:
    """The first login that workers with this token were given, within retention."""
    if token.last_used_at is None:
        return None
    event = _with(token, "login.issued").order_by("at", "pk").first()
    return _told(event, private=False) if event else None


def last_refused(token: WorkerToken) -> LoginEvent | None:
    """The last login that workers with this token were refused."""
    event = _with(token, "login.refused").order_by("-at", "-pk").first()
    return _told(event, private=False) if event else None


def refused_logins(organization: Organization, *, private: bool) -> list[LoginEvent]:
    """The last refused of all its workers and commands; reasons with private parts or not."""
    events = AuditEvent.objects.filter(organization_id=organization.pk)
    return last_refused_of(events, private=private)


def last_refused_of(events: AuditEventQuerySet, *, private: bool) -> list[LoginEvent]:
    """Of these events, the last refused logins; `private` as in `refused_logins`."""
    refused = events.filter(action="login.refused").order_by("-at", "-pk")[:SHOWN]
    return [_told(event, private) for event in refused]


def last_of(entry: RegistryEntry, action: str, *, private: bool) -> LoginEvent | None:
    """The entry's last `login.issued` or `login.refused`; `private` as in `refused_logins`."""
    event = of_entry(entry).filter(action=action).order_by("-at", "-pk").first()
    return _told(event, private) if event else None


def of_entry(entry: RegistryEntry) -> AuditEventQuerySet:
    return AuditEvent.objects.filter(
        organization_id=entry.organization_id, subject_id=str(entry.pk)
    )


def _with(token: WorkerToken, action: str):
    # by who, when and what there is an index; the token tells those of one name apart
    return AuditEvent.objects.filter(
        organization_id=token.organization_id,
        actor=token.actor_name,
        action=action,
        at__gte=token.created_at,
        properties__token=token.begins_with,
    )


def _told(event: AuditEvent, private: bool) -> LoginEvent:
    reason = str(event.properties.get("reason", ""))
    return LoginEvent(
        at=event.at,
        actor=event.actor,
        source_address=event.source_address,
        image=event.subject,
        project=event.project,
        environment=str(event.properties.get("environment", "")),
        code=event.code,
        reason=stored(reason, event.code, private=private),
        times=event.properties.get("times", 0),
    )

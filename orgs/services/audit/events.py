"""Audit events: written in the same transaction as what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from orgs.inserting import insert_many, values_of
from orgs.models import AuditEvent, Organization, Project, User
from orgs.seen import logs, metrics

from .in_groups import Groups


@dataclass(frozen=True)
class Actor:
    """Who acts: a person, a worker token or the command line.

    `token` begins as the token they came with does, where they came with one.
    """

    name: str
    user: User | None = None
    staff: bool = False
    source_address: str | None = None
    token: str = ""

    @classmethod
    def person(
        cls,
        user: User,
        organization: Organization | None,
        source_address: str | None = None,
        token: str = "",
    ) -> Actor:
        """`staff` where they act without being a member of the organization."""
        member = organization and user.memberships.filter(organization=organization).exists()
        return cls(user.email, user, user.is_staff and not member, source_address, token)


COMMAND_LINE = Actor("command line", staff=True)


def event(
    *,
    actor: Actor,
    action: str,
    organization: Organization | None = None,
    project: Project | None = None,
    subject_id: object = "",
    subject: str = "",
    code: str = "",
    properties: dict[str, Any] | None = None,
) -> AuditEvent:
    """An event not yet written; `record` writes one, bulk writers many."""
    return AuditEvent(
        actor=actor.name,
        actor_id=actor.user.pk if actor.user else None,
        staff=actor.staff,
        action=action,
        organization_id=organization.pk if organization else None,
        organization=organization.name if organization else "",
        project_id=project.pk if project else None,
        project=project.name if project else "",
        subject_id=str(subject_id),
        subject=subject[:700],
        code=code,
        properties=(properties or {}) | _given(token=actor.token, request=logs.request_id()),
        source_address=actor.source_address,
    )


def _given(**known: str) -> dict[str, str]:
    return {name: text for name, text in known.items() if text}


def insert_all(found: Sequence[AuditEvent]) -> None:
    """Write several at once, or none of them."""
    with transaction.atomic(savepoint=False):
        insert_many(found)
        metrics.events_written(len(found))


def insert_made_up(found: Sequence[AuditEvent]) -> None:
    """Write events that never happened, as of a made-up organization: no figure counts them.
    Each says so, and when it would have been."""
    for one in found:
        one.properties = {**one.properties, "made_up": True}
    with transaction.atomic(savepoint=False):
        insert_many(found)


def insert(found: AuditEvent) -> None:
    """Write one event by one statement, in autocommit where no transaction is open. What
    Django does around saving a model costs as much as all else of a cached login."""
    sql, values = values_of(found)
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        _groups.write(sql, values)
    else:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
    metrics.events_written(1)


_groups = Groups()


def record(**kwargs: Any) -> AuditEvent:
    """Write one event; takes what `event` takes."""
    found = event(**kwargs)
    found.save(force_insert=True)
    metrics.events_written(1)
    return found

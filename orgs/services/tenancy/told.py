"""Events about somebody's way in, in the log of each of their organizations."""

from __future__ import annotations

from typing import Any

from orgs.models import AuditEvent, Organization, User
from orgs.services.audit.events import Actor, event, insert_all


def events(
    action: str,
    person: User | None,
    actor: Actor,
    code: str = "",
    properties: dict[str, Any] | None = None,
) -> list[AuditEvent]:
    """About someone's way in: an event for each of their organizations, or one for none.

    `person` None is someone unknown; it takes as many queries.
    """
    member_of = Organization.objects.filter(memberships__user_id=person.pk if person else 0)
    return [
        event(
            actor=actor,
            action=action,
            organization=organization,
            subject_id=person.pk if person else "",
            subject=person.email if person else "",
            code=code,
            properties=properties,
        )
        for organization in list[Organization | None](member_of) or [None]
    ]


def tell(
    action: str,
    person: User,
    actor: Actor,
    code: str = "",
    properties: dict[str, Any] | None = None,
) -> None:
    """Write `events`."""
    insert_all(events(action, person, actor, code, properties))

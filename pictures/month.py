"""A month of logins before today, so that the picture of one shows a month."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from orgs.models import AuditEvent, Organization, Project, RegistryEntry
from orgs.services.audit import events
from orgs.services.audit.events import Actor

# Logins a day, 29 days ago first; a week's end is quiet.
GIVEN = (
    *(7, 9, 8, 11, 2, 1, 10, 12, 9, 13, 11, 3, 2, 12, 14),
    *(13, 15, 12, 4, 2, 14, 16, 13, 17, 15, 4, 3, 16, 18),
)
# Days ago, and how many were refused then.
REFUSED = {12: 3, 11: 9, 10: 6, 3: 1}


def fill(
    entry: RegistryEntry, denied: RegistryEntry, project: Project, worker: Actor, host: str
) -> None:
    """The events of `entry`'s logins, and of those that were refused to `denied`."""
    acme = entry.organization
    made = [
        _login(acme, project, entry, worker, f"{host}/my-ml-image:v1.0", days, place)
        for days, count in zip(range(len(GIVEN), 0, -1), GIVEN, strict=True)
        for place in range(count)
    ]
    made += [
        _login(acme, project, denied, worker, str(denied).replace("*", "segment:v3"), days, place,
               action="login.refused", code="access_denied")
        for days, count in REFUSED.items()
        for place in range(count)
    ]  # fmt: skip
    events.insert_all(made)


def _login(
    acme: Organization,
    project: Project,
    entry: RegistryEntry,
    worker: Actor,
    image: str,
    days: int,
    place: int,
    action: str = "login.issued",
    code: str = "ok",
) -> AuditEvent:
    made = events.event(
        actor=worker,
        action=action,
        organization=acme,
        project=project,
        subject_id=entry.pk,
        subject=image,
        code=code,
        properties={"pattern": str(entry)},
    )
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    made.at = noon - timedelta(days=days, minutes=place)
    return made

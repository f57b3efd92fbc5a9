"""What all changes of organizations share: the row behind its lock, and the event that tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import models, transaction

from orgs.models import Organization, Project
from orgs.services.audit.events import Actor, record

AnyModel = TypeVar("AnyModel", bound=models.Model)


@contextmanager
def written(obj: AnyModel) -> Iterator[AnyModel]:
    """A transaction and in it the row as it stands, locked; one who is later waits."""
    with transaction.atomic():
        # Not `type(obj)`: who is signed in comes wrapped.
        rows = obj.__class__._default_manager.select_for_update(no_key=True)
        yield rows.get(pk=obj.pk)


def change(standing: models.Model, **values: Any) -> dict[str, list[Any]]:
    """Save what differs; gives {name: [before, after]}."""
    changed = {
        name: [getattr(standing, name), value]
        for name, value in values.items()
        if getattr(standing, name) != value
    }
    for name, (_, after) in changed.items():
        setattr(standing, name, after)
    if changed:
        standing.save()
    return changed


def tell_change(
    action: str,
    actor: Actor,
    organization: Organization | None,
    subject: models.Model,
    changed: dict[str, list[Any]],
) -> None:
    if changed:
        tell(action, actor, organization, subject, {"changes": changed})


def tell_end(
    action: str,
    actor: Actor,
    organization: Organization | None,
    subject: models.Model,
    before: dict[str, Any],
) -> None:
    tell(action, actor, organization, subject, {"before": {"name": str(subject), **before}})


def tell(
    action: str,
    actor: Actor,
    organization: Organization | None,
    subject: models.Model,
    properties: dict[str, Any],
) -> None:
    record(
        actor=actor,
        action=action,
        organization=organization,
        project=subject if isinstance(subject, Project) else None,
        subject_id=subject.pk,
        subject=str(subject),
        properties=properties,
    )

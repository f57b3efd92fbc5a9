"""Undoing what one just disabled, for ten minutes.

What is undone is read from the audit log: the entries that a person disabled with one
request, as far as nobody enabled or disabled them since.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import AuditEvent, Organization, Run
from orgs.services.audit.events import Actor
from orgs.services.runs import going

from . import switching
from .many import Outcome, entries_set_enabled

WITHIN = timedelta(minutes=10)
_AT_MOST = WITHIN + timedelta(hours=1)  # many are disabled over some minutes
_SWITCHES = ("entry.enabled", "entry.disabled")
_TOGETHER = 500  # entries asked for at once; databases bound what a statement holds


def disabling_undo(
    *, organization: Organization, actor: Actor, request: str
) -> Outcome | tuple[Run, bool] | None:
    """Enable again what the person disabled with this request (its id, as events have it);
    None where there is nothing of it, or it's too long ago. Those that somebody switched
    since stay as they are, and count as `same`. Where they are many, the run that does it."""
    asked = AuditEvent.objects.filter(
        organization_id=organization.pk,
        action="entry.disabled",
        actor_id=actor.user.pk if actor.user else None,
        properties__request=request,
        at__gte=Now() - _AT_MOST,
    ).order_by("at", "pk")
    if not asked.filter(at__gte=Now() - WITHIN).exists():
        return None
    mine = dict(asked.values_list("subject_id", "pk"))
    if not request or not mine:
        return None
    keys = [UUID(each) for each in mine if each not in _switched_since(organization, mine)]
    if len(keys) > going.LONG:
        return switching.begin(organization=organization, keys=keys, actor=actor, enabled=True)
    outcome = entries_set_enabled(organization=organization, keys=keys, actor=actor, enabled=True)
    outcome.same += len(mine) - len(keys)
    return outcome


def is_left(organization: Organization, request: str) -> bool:
    """Whether anything that this request disabled is as it left it."""
    found = AuditEvent.objects.filter(
        organization_id=organization.pk,
        action="entry.disabled",
        properties__request=request,
        at__gte=Now() - _AT_MOST,
    ).order_by("at", "pk")
    mine = dict(found.values_list("subject_id", "pk")[:_TOGETHER])
    return bool(mine.keys() - _switched_since(organization, mine))


def _switched_since(organization: Organization, mine: dict[str, int]) -> set[str]:
    """The entries with a later event of being enabled or disabled than one's own."""
    found: set[str] = set()
    ids = list(mine)
    for start in range(0, len(ids), _TOGETHER):
        some = ids[start : start + _TOGETHER]
        by_form = Q(action="entry.updated", properties__changes__enabled__isnull=False)
        events = AuditEvent.objects.filter(
            Q(action__in=_SWITCHES) | by_form, organization_id=organization.pk, subject_id__in=some
        ).filter(at__gte=Now() - _AT_MOST)
        found |= {s for s, pk in events.values_list("subject_id", "pk") if pk > mine[s]}
    return found

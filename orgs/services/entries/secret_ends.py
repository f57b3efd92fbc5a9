"""Reminders of secrets that end: once for each of `ends.REMINDED` days before, in one notice
an organization."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.urls import reverse

from orgs.models import Organization, RegistryEntry
from orgs.registries import ends
from orgs.services.tenancy.notifying import Notice, notify

from .attention import ENDING, today

NAMED = 20  # entries in one notice


def remind(entries: QuerySet[RegistryEntry]) -> int:
    """Remind of those of these whose secrets end soon; of how many. A reminder that was
    given isn't given again, whoever else looks at the same time."""
    day = today()
    near = Q(secret_expires_on__gte=day, secret_expires_on__lte=day + ENDING, enabled=True)
    found = entries.filter(near, organization__made_up=False).defer("secrets")
    found = found.select_related("organization").prefetch_related("patterns")
    due: dict[Organization, list[RegistryEntry]] = {}
    for entry in found.order_by("organization_id", "secret_expires_on", "created_at", "id"):
        if _is_first(entry):
            due.setdefault(entry.organization, []).append(entry)
    for organization, told in due.items():
        _tell(organization, told)
    return sum(map(len, due.values()))


def _is_first(entry: RegistryEntry) -> bool:
    """Whether the reminder that has come wasn't given yet; it counts as given now."""
    assert entry.secret_expires_on is not None
    nearest = ends.reminder(entry.secret_expires_on, today())
    told = entry.secret_end_told
    if nearest is None or (told is not None and told <= nearest):
        return False
    same = RegistryEntry.objects.filter(
        Q(secret_end_told=None) | Q(secret_end_told__gt=nearest),
        pk=entry.pk,
        secret_expires_on=entry.secret_expires_on,
    )
    return bool(same.update(secret_end_told=nearest))


def _tell(organization: Organization, entries: list[RegistryEntry]) -> None:
    day = today()
    lines = [f"{e}: {ends.sentence(e.secret_expires_on, day)}" for e in entries[:NAMED]]  # type: ignore[arg-type]
    if len(entries) > NAMED:
        lines.append(f"And {len(entries) - NAMED:,} more.")
    one = entries[0]
    if len(entries) == 1:
        subject = f"{one}: {ends.short(one.secret_expires_on, day).lower()}"  # type: ignore[arg-type]
        address = reverse("entry", args=[organization.slug, one.pk])
    else:
        subject = f"{len(entries):,} secrets of {organization} end soon"
        address = reverse("organization", args=[organization.slug])
    about = f"organization {organization.pk}"
    facts = {"ending": len(entries)}
    notify(organization, Notice("secrets.ending", subject, lines, address, about, facts))

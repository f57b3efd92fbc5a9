"""The notices that an organization gets about its entries.

Where many are verified, one says it all at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from orgs.models import Organization, RegistryEntry
from orgs.registries import codes
from orgs.registries.private import whole
from orgs.registries.problems import Failed
from orgs.services.tenancy.notifying import Notice, notify

NAMED = 5  # entries of a cause, in the notice about many
_together: ContextVar[bool] = ContextVar("together", default=False)


@contextmanager
def together() -> Iterator[None]:
    """Tell nothing of single entries here, in this context (`contextvars`): who does many
    tells of them all (`many_changed`)."""
    before = _together.set(True)
    try:
        yield
    finally:
        _together.reset(before)


def many_changed(
    organization: Organization, was_failing: Mapping[UUID, bool], address: str
) -> None:
    """Tell of all that stopped working or works again since, in one notice: `was_failing` has
    for each entry whether it was told as failing before. `address` is where to look."""
    found = RegistryEntry.objects.filter(organization=organization, pk__in=was_failing)
    found = found.prefetch_related("patterns").order_by("status_code", "created_at", "id")
    changed = [e for e in found if (e.failure_told_at is not None) != was_failing[e.pk]]
    stopped = [entry for entry in changed if entry.failure_told_at is not None]
    works = [entry for entry in changed if entry.failure_told_at is None]
    if not changed:
        return
    sentences = []
    by_cause: dict[str, list[RegistryEntry]] = defaultdict(list)
    for entry in stopped:
        by_cause[entry.status_code].append(entry)
    for code, alike in sorted(by_cause.items(), key=lambda each: -len(each[1])):
        sentences.append(f"{len(alike):,}: {codes.phrase(code) or code} ({_named(alike)}).")
        sentences.append(f"    {whole(alike[0].status_detail)}")
    if works:
        sentences.append(f"{len(works):,} can be pulled from again ({_named(works)}).")
    told = [
        *([f"{_counted(stopped)} stopped working"] if stopped else []),
        *([f"{_counted(works)} working again"] if works else []),
    ]
    subject = f"{', '.join(told)} in {organization}"
    facts = {"stopped": len(stopped), "works": len(works)}
    about = f"organization {organization.pk}"
    notify(organization, Notice("entries.changed", subject, sentences, address, about, facts))


def _counted(entries: list[RegistryEntry]) -> str:
    return str(entries[0]) if len(entries) == 1 else f"{len(entries):,} entries"


def _named(entries: list[RegistryEntry]) -> str:
    more = f" and {len(entries) - NAMED:,} more" if len(entries) > NAMED else ""
    return ", ".join(map(str, entries[:NAMED])) + more


def entry_stopped(entry: RegistryEntry, error: Failed) -> None:
    """Tell that an entry turned failing, why, and what to do."""
    facts = {"code": error.code, "what": whole(error.told), "fix": error.fix}
    _tell(entry, "entry.stopped", "stopped working", [whole(error.told), error.fix], facts)


def entry_works(entry: RegistryEntry, *, reached: bool = True) -> None:
    """Tell those who were told that it failed that it works again; `reached` where its
    registry answered, too."""
    what = "Images that it serves can be pulled again."
    if not reached:
        what = "Its login is obtained again. Whether its images are there, nobody saw yet."
    _tell(entry, "entry.works", "works again", [what], {"code": "ok"})


def _tell(
    entry: RegistryEntry, event: str, what: str, sentences: list[str], facts: dict[str, Any]
) -> None:
    if _together.get():
        return
    address = reverse("entry", args=[entry.organization.slug, entry.pk])
    named = {
        "id": str(entry.pk),
        "image_pattern": next(iter(entry.pattern_texts), ""),
        "url": f"{settings.BASE_URL}{address}",
    }
    subject = f"{entry} {what}"
    notice = Notice(
        event, subject, sentences, address, f"entry {entry.pk}", {"entry": named} | facts
    )
    notify(entry.organization, notice)

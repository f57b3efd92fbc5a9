"""When it was last seen that the other side of an entry refuses everybody else: DESIGN, «Confused
deputies».

A proof is of the entry as it stands: any change of its credentials makes another necessary.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from orgs.models import CachedLogin, RegistryEntry

GOOD_FOR = timedelta(days=1)


def stands(entry: RegistryEntry) -> bool:
    """Whether it was seen within a day, of the entry as it was read. One query."""
    return RegistryEntry.objects.filter(
        pk=entry.pk,
        credentials_version=entry.credentials_version,
        proved_version=F("credentials_version"),
        proved_at__gt=Now() - GOOD_FOR,
        proved_at__lte=Now(),
    ).exists()


def note(entry: RegistryEntry, held: bool) -> None:
    """What was seen now, of the entry as it was read. Where others weren't refused, no login of
    the entry is given any more, one that is cached neither."""
    rows = RegistryEntry.objects.filter(pk=entry.pk, credentials_version=entry.credentials_version)
    if held:
        rows.update(proved_at=Now(), proved_version=entry.credentials_version)
        return
    rows.update(proved_at=None, proved_version=None)
    CachedLogin.objects.filter(
        entry_id=entry.pk, credentials_version=entry.credentials_version
    ).update(login=None, expires_at=None, refresh_after=None)

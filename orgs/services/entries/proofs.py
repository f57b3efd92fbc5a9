"""When it was last seen that a role refuses what it must: DESIGN, «Confused deputies».

A proof is of the entry as it stands: any change of its credentials makes another necessary.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from orgs.models import RegistryEntry

GOOD_FOR = timedelta(days=1)


def stands(entry: RegistryEntry) -> bool:
    """Whether it was seen within a day. One query."""
    return RegistryEntry.objects.filter(
        pk=entry.pk,
        proved_version=F("credentials_version"),
        proved_at__gt=Now() - GOOD_FOR,
        proved_at__lte=Now(),
    ).exists()


def note(entry: RegistryEntry) -> None:
    """It was seen now, of the entry as it was read."""
    RegistryEntry.objects.filter(pk=entry.pk, credentials_version=entry.credentials_version).update(
        proved_at=Now(), proved_version=entry.credentials_version
    )

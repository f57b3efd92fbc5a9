"""How clouds know the server: its keys, from one to the next, and who fetched them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from orgs.models import Issuer
from orgs.services.identity import keys

from .taking import BASE


def fill() -> None:
    """A key that signs, one that comes, and a cloud that was here."""
    keys.rotate()
    seen = timezone.now() - timedelta(minutes=12)
    Issuer.objects.create(url=BASE, fetched_at=seen, fetched_from="52.94.76.1", fetched_by="AWS")

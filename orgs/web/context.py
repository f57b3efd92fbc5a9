"""What every page knows of the person looking at it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from orgs.models import Membership, User


def people(request: HttpRequest) -> dict[str, Any]:
    """`my_memberships`: for the «Hi, <name>» menu, those one administers first."""

    def memberships() -> list[Membership]:
        user = getattr(request, "user", None)
        if not isinstance(user, User):
            return []
        found = user.memberships.select_related("organization").order_by(
            "role", "organization__name"
        )
        return list(found)

    return {"my_memberships": SimpleLazyObject(memberships)}

"""What every page knows of the person looking at it, and pages in an organization of that."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, QueryDict
from django.utils.functional import SimpleLazyObject

from orgs.models import Membership, Organization, User
from orgs.proxies import source_address
from orgs.services.audit.events import Actor


class SignedIn(HttpRequest):
    """A request behind `login_required`, for the type checker."""

    user: User


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


def inside(request: SignedIn, organization: Organization, here: str) -> dict[str, Any]:
    """For a page of an organization that a gate of `access` gave: what the person is in it,
    and which tab is open."""
    return {
        "organization": organization,
        "is_admin": organization.role_of_asker == Membership.Role.ADMIN,
        "as_staff": organization.role_of_asker is None,
        "here": here,
    }


def acting(request: HttpRequest, organization: Organization | None = None) -> Actor:
    """The person as the audit log will name them, with the address they come from."""
    return Actor.person(request.user, organization, source_address(request))  # type: ignore[arg-type]


def oneself(request: HttpRequest) -> Actor:
    """The person about their own account, which staff don't act in as staff."""
    return Actor(request.user.email, request.user, source_address=source_address(request))  # type: ignore[union-attr, arg-type]


def posted(request: HttpRequest) -> QueryDict | None:
    """What binds a form: what was sent, also if that is nothing."""
    return request.POST if request.method == "POST" else None

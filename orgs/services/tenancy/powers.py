"""What staff may do to people, and the ready group *Support*.

Nobody gives powers that they don't have: whoever could set a password for somebody with
more, or read a link that does, would have theirs.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from orgs.models import User
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.events import Actor

SUPPORT = "Support"
# Has its own permission, since whoever may change people may read the link.
SEND_LINK = "send_link_user"
_VIEWED = (
    *("auditevent", "environment", "membership", "organization", "project"),
    *("registryentry", "user"),
)
SUPPORT_MAY = (
    *(f"view_{model}" for model in _VIEWED),
    # Verify, enable, disable, and mend what is wrong with one; not add, not delete.
    "change_registryentry",
    SEND_LINK,
)


def may_change(staff: User, person: User) -> bool:
    """Whether they may change the person, and see a link that sets their password. Only
    superusers look after whoever has powers of their own, also unused ones."""
    if staff.is_superuser:
        return True
    return staff.has_perm("orgs.change_user") and not has_powers(person)


def may_send_link(staff: User, person: User) -> bool:
    """Whether they may have a link sent to the person, which they don't see."""
    if may_change(staff, person):
        return True
    return staff.has_perm(f"orgs.{SEND_LINK}") and not has_powers(person)


def has_powers(person: User) -> bool:
    """Also those that rest while somebody isn't staff."""
    held = person.is_staff or person.is_superuser
    return held or person.user_permissions.exists() or person.groups.exists()


def require_may_change(actor: Actor, person: User) -> None:
    """Behind the person's lock: they may have got powers a moment ago. Raises `Refused`.
    Commands aren't asked."""
    if actor.staff and actor.user and not may_change(actor.user, person):
        raise _superusers_only(f"{person} has powers of their own.")


def require_may_send(actor: Actor, person: User) -> None:
    """As `require_may_change`, of a link that is sent."""
    if actor.staff and actor.user and not may_send_link(actor.user, person):
        raise _superusers_only(f"{person} has powers of their own.")


def require_another(actor: Actor, person: User) -> None:
    """Raises `Refused` for staff who make themselves a member, or more of one."""
    if actor.staff and actor.user == person and not person.is_superuser:
        raise _superusers_only("Staff don't make themselves members.")


def _superusers_only(what: str) -> Refused:
    return Refused(Problem("superusers_only", what, "Ask a superuser."))


def support_make(apps: Any = None, using: str = DEFAULT_DB_ALIAS, **rest: Any) -> None:
    """Have the group, with these permissions and no others; after each `migrate`."""
    try:
        Group, Permission = (apps.get_model("auth", name) for name in ("Group", "Permission"))
        ContentType = apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return  # migrated only so far
    ours = Permission.objects.using(using).filter(content_type__app_label="orgs")
    kind = ContentType.objects.using(using).filter(app_label="orgs", model="user").first()
    if kind is None:
        return
    ours.get_or_create(
        codename=SEND_LINK, content_type=kind, defaults={"name": "Can send a password link"}
    )
    group, _ = Group.objects.using(using).get_or_create(name=SUPPORT)
    group.permissions.set(ours.filter(codename__in=SUPPORT_MAY))

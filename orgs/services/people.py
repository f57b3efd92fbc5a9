"""People as staff look after them: made, changed, let in by a link, erased.

Whoever comes in with an organization is made by `organizations.person`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction

from orgs import stored
from orgs.models import User

from . import organizations
from .audit import Actor, record


def person_create(*, email: str, name: str, actor: Actor, password: str | None = None) -> User:
    """A new person; without a password until they set one by `person_link`. Raises
    `Refused` for what can't be stored."""
    stored.require(User, email=email, name=name)
    with transaction.atomic():
        person = User.objects.create_user(email, password, name=name)
        _tell("user.created", person, actor, {})
    return person


def person_update(
    *, person: User, actor: Actor, permissions: Iterable[Permission] | None = None, **values: Any
) -> User:
    """Change name, e-mail or what they may do; `permissions` None leaves those as they are.

    Raises `Refused` for what can't be stored.
    """
    texts = {name: text for name, text in values.items() if isinstance(text, str)}
    stored.require(User, **texts)
    with transaction.atomic():
        standing = User.objects.select_for_update(no_key=True).get(pk=person.pk)
        changes = {
            name: [getattr(standing, name), value]
            for name, value in values.items()
            if getattr(standing, name) != value
        }
        for name, (_, after) in changes.items():
            setattr(standing, name, after)
        if changes:
            standing.save()
        if permissions is not None:
            before = _codenames(standing.user_permissions.all())
            standing.user_permissions.set(permissions)
            after = _codenames(permissions)
            if before != after:
                changes["permissions"] = [before, after]
        if changes:
            _tell("user.updated", standing, actor, {"changes": changes})
    return standing


def person_link(*, person: User, actor: Actor) -> str:
    """A one-time address where they set a password; it is neither stored nor told."""
    _tell("user.link_issued", person, actor, {})
    return organizations.password_link(person)


def person_delete(*, person: User, actor: Actor) -> None:
    """Erase someone with their memberships, tokens and personal projects.

    Raises `Refused` where they are an organization's only admin.
    """
    with transaction.atomic():
        for membership in person.memberships.select_related("organization", "user"):
            organizations.member_remove(membership=membership, actor=actor)
        _tell("user.deleted", person, actor, {})
        person.delete()


def _codenames(permissions: Iterable[Permission]) -> list[str]:
    return sorted(permission.codename for permission in permissions)


def _tell(action: str, person: User, actor: Actor, properties: dict[str, Any]) -> None:
    record(
        actor=actor,
        action=action,
        subject_id=person.pk,
        subject=person.email,
        properties=properties,
    )

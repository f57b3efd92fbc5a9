"""Projects: made, renamed, put away, given to another owner.

Each change is written together with the event that tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from orgs import stored
from orgs.models import Organization, Project, User
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, record

from .organizations import require_admin
from .writing import change, tell, tell_change, tell_end, written


def project_create(
    *, name: str, actor: Actor, organization: Organization | None = None, user: User | None = None
) -> Project:
    """A project of an organization or, personal, of a user: exactly one of them.

    Raises `Refused` for what can't be a name.
    """
    stored.require(Project, name=name)
    with transaction.atomic():
        project = Project.objects.create(name=name, organization=organization, user=user)
        record(
            actor=actor,
            action="project.created",
            organization=organization,
            project=project,
            subject_id=project.pk,
            subject=name,
        )
    return project


def project_update(
    *,
    project: Project,
    actor: Actor,
    name: str,
    organization: Organization | None = None,
    user: User | None = None,
) -> Project:
    """Rename a project, or give it to another owner: exactly one; for staff.

    Both organizations are told where it moves from one to another. Raises `Refused` for
    what can't be a name.
    """
    stored.require(Project, name=name)
    with written(project) as standing:
        _give(standing, actor, name, organization, user)
    return standing


def project_rename(*, project: Project, actor: Actor, name: str) -> Project:
    """Rename it, whose it is by now notwithstanding: of another owner it isn't there."""
    stored.require(Project, name=name)
    with _owned(project, actor) as standing:
        _give(standing, actor, name, standing.organization, standing.user)
    return standing


def project_move(
    *,
    project: Project,
    actor: Actor,
    organization: Organization | None = None,
    user: User | None = None,
) -> Project:
    """Give it to another owner: exactly one. Raises `Refused` where the actor is no admin of
    either end any more."""
    with _owned(project, actor) as standing:
        if organization is not None:
            require_admin(organization, actor)
        _give(standing, actor, standing.name, organization, user)
    return standing


def _give(
    standing: Project,
    actor: Actor,
    name: str,
    organization: Organization | None,
    user: User | None,
) -> None:
    before, owner = standing.organization, _owner(standing)
    changed = change(standing, name=name, organization=organization, user=user)
    told = {"name": changed["name"]} if "name" in changed else {}
    if "organization" in changed or "user" in changed:
        told["owner"] = [owner, _owner(standing)]
    for one in dict.fromkeys((before, organization)):
        tell_change("project.updated", actor, one, standing, told)


def project_archive(*, project: Project, actor: Actor) -> Project:
    """Put it away: its workers get no login until it's brought back."""
    with _owned(project, actor) as standing:
        if standing.archived_at is None:
            standing.archived_at = database_now()
            standing.save(update_fields=["archived_at"])
            tell("project.archived", actor, standing.organization, standing, {})
    return standing


def project_bring_back(*, project: Project, actor: Actor) -> Project:
    """Take it into use again."""
    with _owned(project, actor) as standing:
        if standing.archived_at is not None:
            standing.archived_at = None
            standing.save(update_fields=["archived_at"])
            tell("project.brought_back", actor, standing.organization, standing, {})
    return standing


@contextmanager
def _owned(project: Project, actor: Actor) -> Iterator[Project]:
    """`written`, where its owner is still who it was when it was looked at, and the actor may
    still act for them; raises Project.DoesNotExist and `Refused`."""
    with written(project) as standing:
        if (standing.organization_id, standing.user_id) != (
            project.organization_id,
            project.user_id,
        ):
            raise Project.DoesNotExist("It was moved meanwhile.")
        if standing.organization is not None:
            require_admin(standing.organization, actor)
        yield standing


def project_delete(*, project: Project, actor: Actor) -> None:
    """Erase it; its workers get no login from then on."""
    with written(project) as standing:
        owner = {"owner": _owner(standing)}
        tell_end("project.deleted", actor, standing.organization, standing, owner)
        standing.delete()


def _owner(project: Project) -> str:
    owner = project.organization
    return f"{owner} ({owner.slug})" if owner else str(project.user)

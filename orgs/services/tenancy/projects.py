"""Projects: made, renamed, put away, given to another owner.

Each change is written together with the event that tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import transaction

from orgs import stored
from orgs.models import Organization, Project, User
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor

from .organizations import require_admin
from .writing import change, tell, tell_change, tell_end, written


def project_create(
    *, name: str, actor: Actor, organization: Organization | None = None, user: User | None = None
) -> Project:
    """A project of an organization or, personal, of a user: exactly one of them.

    Raises `Refused` for what can't be a name, and where an organization of the user's wants no
    personal projects.
    """
    stored.require(Project, name=name)
    _may_be_personal(user)
    with transaction.atomic(), _by_admins(actor, organization):
        project = Project.objects.create(name=name, organization=organization, user=user)
        tell("project.created", actor, organization, project, {})
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
    what can't be a name, and where it may not be the user's.
    """
    stored.require(Project, name=name)
    with written(project) as standing:
        _give(standing, actor, name, organization, user)
    return standing


def project_rename(*, project: Project, actor: Actor, name: str) -> Project:
    """Another name; raises Project.DoesNotExist where it moved meanwhile."""
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
    either end any more, or it may not be the user's."""
    with _owned(project, actor, organization) as standing:
        _give(standing, actor, standing.name, organization, user)
    return standing


def _give(
    standing: Project,
    actor: Actor,
    name: str,
    organization: Organization | None,
    user: User | None,
) -> None:
    if user is not None and user.pk != standing.user_id:
        _may_be_personal(user)
    before, owner = standing.organization, _owner(standing)
    _keep_apart(before, organization)
    changed = change(standing, name=name, organization=organization, user=user)
    told = {"name": changed["name"]} if "name" in changed else {}
    if "organization" in changed or "user" in changed:
        told["owner"] = [owner, _owner(standing)]
    for one in dict.fromkeys((before, organization)):
        tell_change("project.updated", actor, one, standing, told)


def _keep_apart(before: Organization | None, after: Organization | None) -> None:
    """What is real isn't to go with what is made up, nor the other way round."""
    made_up = next((one for one in (after, before) if one is not None and one.made_up), None)
    if made_up is not None and before != after:
        what = f"{made_up} is made up, and what is in it goes with it."
        fix = "Leave this project where it is." if made_up == after else "Make a project anew."
        raise Refused(Problem("made_up", what, fix, "organization"))


def project_archive(*, project: Project, actor: Actor) -> Project:
    """Put it away: its workers get no login until it's brought back."""
    with _owned(project, actor) as standing:
        if standing.archived_at is None:
            standing.archived_at = database_now()
            standing.save(update_fields=["archived_at"])
            tell("project.archived", actor, standing.organization, standing, {})
    return standing


def project_unarchive(*, project: Project, actor: Actor) -> Project:
    """Take it into use again."""
    with _owned(project, actor) as standing:
        if standing.archived_at is not None:
            standing.archived_at = None
            standing.save(update_fields=["archived_at"])
            tell("project.unarchived", actor, standing.organization, standing, {})
    return standing


def _may_be_personal(user: User | None) -> None:
    strict = Organization.objects.filter(memberships__user=user, no_personal_projects=True)
    if user is not None and (organization := strict.first()):
        what = f"{organization} wants no personal projects, and {user.name} is in it."
        fix = "Make it a project of an organization."
        raise Refused(Problem("no_personal_projects", what, fix))


@contextmanager
def _owned(project: Project, actor: Actor, to: Organization | None = None) -> Iterator[Project]:
    """`written`, where its owner is still who it was when it was looked at, and the actor may
    still act for them, and for where it goes `to`; raises Project.DoesNotExist and `Refused`."""
    with _by_admins(actor, project.organization, to), written(project) as standing:
        seen = project.organization_id, project.user_id
        if (standing.organization_id, standing.user_id) != seen:
            raise Project.DoesNotExist("It was moved meanwhile.")
        yield standing


@contextmanager
def _by_admins(actor: Actor, *organizations: Organization | None) -> Iterator[None]:
    """Behind the locks of these, in one order for all, since others wait for them too."""
    with ExitStack() as locks:
        for one in sorted({o for o in organizations if o is not None}, key=lambda o: o.pk):
            require_admin(locks.enter_context(written(one)), actor)
        yield


def project_delete(*, project: Project, actor: Actor) -> None:
    """Erase it; its workers get no login from then on."""
    with written(project) as standing:
        owner = {"owner": _owner(standing)}
        tell_end("project.deleted", actor, standing.organization, standing, owner)
        standing.delete()


def _owner(project: Project) -> str:
    owner = project.organization
    return f"{owner} ({owner.slug})" if owner else str(project.user)

"""The only gates: who may come in, decided in the query.

Strangers get 404, as if nothing were there; a wrong role gets 403 with the
people to ask.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404

from orgs.registries.problems import Failed
from orgs.services.entries.searching import Sight
from orgs.services.logins.resolve import organization_of
from orgs.services.tenancy import second_steps

from .models import (
    ApiToken,
    Environment,
    Invitation,
    Membership,
    Organization,
    Project,
    RegistryEntry,
    Run,
    User,
    WorkerToken,
)
from .registries.catalogue import TYPES

Its = TypeVar("Its", RegistryEntry, Environment, Membership, Invitation, Project, WorkerToken, Run)
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,60}")


class AdminsOnly(PermissionDenied):
    """Only org admins may; carries whom to ask."""

    def __init__(self, organization: Organization) -> None:
        super().__init__(f"Only org admins of {organization} manage registries.")
        self.organization = organization
        self.admins = admins_of(organization)


class SecondStepNeeded(PermissionDenied):
    """The organization's admins need a second step, and this one has none."""

    needs_second_step = True

    def __init__(self, organization: Organization) -> None:
        super().__init__(f"Org admins of {organization} need two-step sign-in.")
        self.organization = organization


class Renamed(Exception):
    """The organization has another short name now; carries it."""

    def __init__(self, former: str, slug: str) -> None:
        super().__init__(f"{former} is {slug} now.")
        self.former, self.slug = former, slug


def admins_of(organization: Organization) -> list[User]:
    return list(
        User.objects.filter(
            is_active=True,
            memberships__organization=organization,
            memberships__role=Membership.Role.ADMIN,
        ).order_by("name")
    )


def organization_for_member(user: User | AnonymousUser, slug: str) -> Organization:
    """One the person may look at, with their role; staff may look at any. Raises Http404,
    `Renamed` where the slug is a former one, or `SecondStepNeeded`."""
    if not isinstance(user, User):
        raise Http404
    seen = Organization.objects.seen_by(user)
    organization = seen.filter(slug=slug).first()
    if organization is None:
        renamed = seen.filter(former_slugs__slug=slug).values_list("slug", flat=True).first()
        if renamed is not None:
            raise Renamed(slug, renamed)
        raise Http404
    if organization.role_of_asker == Membership.Role.ADMIN:
        _require_second_step(user, organization)
    return organization


def _require_second_step(user: User, organization: Organization) -> None:
    """Raises `SecondStepNeeded` for an org admin without one, where they need one."""
    if organization.admins_need_mfa and not second_steps.has_one(user):
        raise SecondStepNeeded(organization)


def organization_for_admin(user: User | AnonymousUser, slug: str) -> Organization:
    """One the person administers; raises Http404, or `AdminsOnly` for others who see it."""
    organization = organization_for_member(user, slug)
    if organization.role_of_asker != Membership.Role.ADMIN:
        raise AdminsOnly(organization)
    return organization


def organization_for_auditor(user: User | AnonymousUser, slug: str) -> Organization:
    """One whose audit log the person may read: its org admins, and staff."""
    organization = organization_for_member(user, slug)
    by_role = organization.role_of_asker == Membership.Role.ADMIN
    if not by_role and not (isinstance(user, User) and user.is_staff):
        raise AdminsOnly(organization)
    return organization


def organization_for_runs(user: User | AnonymousUser, slug: str) -> Organization:
    """One whose long work the person may look at, which names keys: its org admins, and
    staff who see its entries in the admin."""
    organization = organization_for_member(user, slug)
    by_role = organization.role_of_asker == Membership.Role.ADMIN
    if not by_role and not (isinstance(user, User) and user.has_perm("orgs.view_registryentry")):
        raise AdminsOnly(organization)
    return organization


def run_in(organization: Organization, run_id: UUID) -> Run:
    """The organization's run; raises Http404."""
    return _its(organization, Run.objects.all(), run_id)


def staff_sight(user: User | AnonymousUser) -> Sight:
    """What somebody of staff sees across organizations; raises Http404 for all others.

    Every staff person reads every organization's pages (`organization_for_member`). What
    those don't show takes the permission to view it in the admin: whose key an entry has,
    people who are in no organization, people's own projects.
    """
    if not (isinstance(user, User) and user.is_staff):
        raise Http404
    return Sight(
        keys=user.has_perm("orgs.view_registryentry"),
        people=user.has_perm("orgs.view_user"),
        projects=user.has_perm("orgs.view_project"),
    )


def administered_by(user: User) -> QuerySet[Organization]:
    """Those that the person administers, and has what that needs."""
    found = Organization.objects.administered_by(user)
    return found if second_steps.has_one(user) else found.filter(admins_need_mfa=False)


def entry_in(organization: Organization, entry_id: UUID) -> RegistryEntry:
    """The organization's entry, patterns prefetched; raises Http404."""
    entries = RegistryEntry.objects.select_related("created_by", "updated_by")
    return _its(organization, entries.prefetch_related("patterns__environment"), entry_id)


def environment_of(organization: Organization, environment_id: int) -> Environment:
    """The organization's environment, for its pages; raises Http404."""
    return _its(organization, Environment.objects.all(), environment_id)


def membership_of(organization: Organization, membership_id: int) -> Membership:
    """Somebody's in the organization, the person loaded; raises Http404."""
    return _its(organization, Membership.objects.select_related("user"), membership_id)


def invitation_of(organization: Organization, invitation_id: UUID) -> Invitation:
    """The organization's invitation; raises Http404."""
    return _its(organization, Invitation.objects.all(), invitation_id)


def project_of(organization: Organization, project_id: UUID) -> Project:
    """The organization's project; raises Http404."""
    return _its(organization, Project.objects.all(), project_id)


def worker_token_of(organization: Organization, token_id: int) -> WorkerToken:
    """The organization's worker token, its environment loaded; raises Http404."""
    return _its(organization, WorkerToken.objects.select_related("environment"), token_id)


def own_membership(organization: Organization, user: User) -> Membership:
    """The person's own; raises Http404 for staff from outside."""
    own = Membership.objects.filter(organization=organization).select_related("user")
    found = _or_404(own.filter(user=user))
    found.organization = organization
    return found


def own_project(user: User, project_id: UUID) -> Project:
    """The person's own, personal project; raises Http404."""
    return _or_404(Project.objects.filter(user=user, pk=project_id))


def api_token_of(user: User, token_id: int) -> ApiToken:
    """The person's own API token; raises Http404."""
    tokens = ApiToken.objects.filter(user=user, pk=token_id)
    return _or_404(tokens.select_related("membership__organization"))


def _its(organization: Organization, rows: QuerySet[Its], key: Any) -> Its:
    """The one of the organization's rows, which knows it; raises Http404."""
    found = _or_404(rows.filter(organization=organization, pk=key))
    found.organization = organization
    return found


def _or_404(rows: QuerySet[Any]) -> Any:
    found = rows.first()
    if found is None:
        raise Http404
    return found


def project_for_operator(
    project_id: str, environment_slug: str | None = None
) -> tuple[Project, Environment | None]:
    """Any project, for the command line; raises `Failed` project_not_found and
    environment_not_found."""
    project = None
    try:
        project = Project.objects.select_related("organization").filter(pk=project_id).first()
    except (ValueError, TypeError, ValidationError):
        pass
    if project is None:
        raise Failed(
            "project_not_found",
            f"There is no project {str(project_id)[:60]}.",
            "Give the id that create_project printed.",
        )
    if not environment_slug:
        return project, None
    return project, environment_in(project.organization, environment_slug)


def environment_in(organization: Organization | None, slug: str) -> Environment:
    """The organization's environment; raises `Failed` environment_not_found."""
    # What isn't shaped like a slug isn't asked for: databases choke on some of it.
    known = _SLUG.fullmatch(slug)
    found = (
        Environment.objects.filter(organization=organization, slug=slug).first()
        if organization and known
        else None
    )
    if found is None:
        named = f"no environment “{slug}”" if known else "no such environment"
        raise Failed(
            "environment_not_found",
            f"There is {named} in {organization or 'a personal project'}.",
            "Give the slug of one of the organization's environments.",
        )
    return found


# --- by token -----------------------------------------------------------------


def project_for_worker(
    token: WorkerToken, project_id: UUID, environment_slug: str = ""
) -> tuple[Project, Environment | None]:
    """The project and environment that a worker speaks for.

    Raises `Failed` project_not_found, personal_project (told only of a fellow
    member's project), environment_not_allowed, environment_not_found.
    """
    own = Q(organization=token.organization)
    of_a_member = Q(user__memberships__organization=token.organization)
    project = (
        Project.objects.filter(own | of_a_member, pk=project_id)
        .select_related("organization")
        .first()
    )
    if project is None:
        raise Failed(
            "project_not_found",
            f"{token.organization} has no project {project_id}.",
            "Give the id of a project of the organization that issued the token.",
        )
    organization_of(project)
    return project, _environment_for_worker(token, environment_slug)


def _environment_for_worker(token: WorkerToken, slug: str) -> Environment | None:
    """Rule 8: the token's own environment, one that it may name, or none."""
    bound = token.environment
    if not slug or (bound is not None and slug == bound.slug):
        return bound
    if token.any_environment:
        return environment_in(token.organization, slug)
    if bound is not None:
        what = f"The token “{token.name}” is bound to the environment “{bound.slug}”."
        fix = f"Ask for “{bound.slug}” or for none, or use another token."
    else:
        what = f"The token “{token.name}” may not name an environment."
        fix = "Leave it out, or issue a token for that environment."
    raise Failed("environment_not_allowed", what, fix)


def role_entry_for_worker(token: WorkerToken, entry_id: UUID) -> RegistryEntry:
    """An entry that workers complete and that serves the token's environments; raises
    `Failed` entry_not_found."""
    entries = RegistryEntry.objects.filter(
        pk=entry_id,
        organization=token.organization,
        registry_type__in=[kind.slug for kind in TYPES if kind.completed_on_worker],
    )
    if not token.any_environment:
        reached = Q(patterns__environment=None)
        if token.environment is not None:
            reached |= Q(patterns__environment=token.environment)
        entries = entries.filter(reached)
    entry = entries.select_related("organization").defer("secrets").first()
    if entry is None:
        raise Failed(
            "entry_not_found",
            "No instance-role entry with this id serves this token's workers.",
            "Report on the entry that the login named.",
        )
    return entry


def memberships_for_token(token: ApiToken) -> QuerySet[Membership]:
    """What the token's person is a member of now, or the token's only one; organizations
    loaded."""
    found = Membership.objects.filter(user=token.user).select_related("organization")
    if token.membership_id is not None:
        found = found.filter(pk=token.membership_id)
    return found.order_by("organization__name", "pk")


def administered_by_token(token: ApiToken) -> list[Organization]:
    """Those that the token's person may manage through it; raises `SecondStepNeeded`."""
    admin = memberships_for_token(token).filter(role=Membership.Role.ADMIN)
    found = [membership.organization for membership in admin]
    for organization in found:
        _require_second_step(token.user, organization)
    return found


def organization_for_token(token: ApiToken, organization_id: int) -> Organization:
    """One to manage; raises Http404, `AdminsOnly` for other members, `SecondStepNeeded`."""
    membership = memberships_for_token(token).filter(organization_id=organization_id).first()
    if membership is None:
        raise Http404
    if membership.role != Membership.Role.ADMIN:
        raise AdminsOnly(membership.organization)
    _require_second_step(token.user, membership.organization)
    return membership.organization


def entry_for_token(token: ApiToken, entry_id: UUID) -> RegistryEntry:
    """An entry to manage, patterns prefetched; raises Http404, or `AdminsOnly`."""
    owner = RegistryEntry.objects.filter(pk=entry_id).values_list("organization_id", flat=True)
    if (organization_id := owner.first()) is None:
        raise Http404
    return entry_in(organization_for_token(token, organization_id), entry_id)

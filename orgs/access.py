"""The only gates: who may come in, decided in the query.

Strangers get 404, as if nothing were there; a wrong role gets 403 with the
people to ask.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from .models import Environment, Membership, Organization, Project, RegistryEntry, User
from .registries.base import LoginError


class AdminsOnly(PermissionDenied):
    """Only org admins may; carries whom to ask."""

    def __init__(self, organization: Organization) -> None:
        super().__init__(f"Only org admins of {organization} manage registries.")
        self.organization = organization
        self.admins = admins_of(organization)


def admins_of(organization: Organization) -> list[User]:
    return list(
        User.objects.filter(
            is_active=True,
            memberships__organization=organization,
            memberships__role=Membership.Role.ADMIN,
        ).order_by("name")
    )


def organization_for_member(user: User | AnonymousUser, slug: str) -> Organization:
    """One the person may look at; staff may look at any. Raises Http404."""
    if not isinstance(user, User):
        raise Http404
    organization = Organization.objects.seen_by(user).filter(slug=slug).first()
    if organization is None:
        raise Http404
    return organization


def organization_for_admin(user: User | AnonymousUser, slug: str) -> Organization:
    """One the person administers; raises Http404, or `AdminsOnly` for others who see it."""
    organization = organization_for_member(user, slug)
    if not is_admin(user, organization):
        raise AdminsOnly(organization)
    return organization


def is_admin(user: User | AnonymousUser, organization: Organization) -> bool:
    return isinstance(user, User) and (
        Organization.objects.administered_by(user).filter(pk=organization.pk).exists()
    )


def entry_in(organization: Organization, entry_id: UUID) -> RegistryEntry:
    """The organization's entry, patterns prefetched; raises Http404."""
    entry = (
        RegistryEntry.objects.filter(organization=organization, pk=entry_id)
        .select_related("organization", "created_by", "updated_by")
        .prefetch_related("patterns__environment")
        .first()
    )
    if entry is None:
        raise Http404
    return entry


def project_for_operator(
    project_id: str, environment_slug: str | None = None
) -> tuple[Project, Environment | None]:
    """Any project, for the command line; raises `LoginError` project_not_found and
    environment_not_found."""
    project = None
    try:
        project = Project.objects.select_related("organization").filter(pk=project_id).first()
    except (ValueError, TypeError, ValidationError):
        pass
    if project is None:
        raise LoginError(
            "project_not_found",
            f"There is no project {str(project_id)[:60]}.",
            "Give the id that create_project printed.",
        )
    if not environment_slug:
        return project, None
    return project, environment_in(project.organization, environment_slug)


def environment_in(organization: Organization | None, slug: str) -> Environment:
    """The organization's environment; raises `LoginError` environment_not_found."""
    found = (
        Environment.objects.filter(organization=organization, slug=slug).first()
        if organization
        else None
    )
    if found is None:
        raise LoginError(
            "environment_not_found",
            f"There is no environment “{slug[:60]}” in {organization or 'a personal project'}.",
            "Give the slug of one of the organization's environments.",
        )
    return found

"""Organizations, their first admin, and projects."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.text import slugify

from orgs.models import Membership, Organization, Project, User
from orgs.registries.base import Problem, Refused

from .audit import Actor, record


def person(email: str, *, name: str = "") -> tuple[User, bool]:
    """The user with this e-mail, and whether they are new (then without a password)."""
    email = email.strip().lower()
    found = User.objects.filter(email=email).first()
    if found is not None:
        return found, False
    name = name or email.partition("@")[0].replace(".", " ").title()
    return User.objects.create_user(email, None, name=name), True


def password_link(user: User) -> str:
    """A one-time address where a new person sets their password."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    return settings.BASE_URL + reverse("set_password", args=[uid, token])


def organization_create(
    *, name: str, admin: User, actor: Actor, slug: str | None = None
) -> Organization:
    """An organization with its first admin; raises `Refused` where the slug is taken."""
    slug = slug or slugify(name)
    if not slug or slug != slugify(slug) or len(slug) > 60:
        raise Refused(
            Problem(
                "invalid_slug",
                f"“{slug or name}” can't be the organization's short name in addresses.",
                "Give one with lower-case letters, digits and dashes (--slug).",
                "slug",
            )
        )
    if Organization.objects.filter(slug=slug).exists():
        raise Refused(
            Problem(
                "duplicate_slug",
                f"There is an organization “{slug}” already.",
                "Choose another with --slug.",
                "slug",
            )
        )
    with transaction.atomic():
        organization = Organization.objects.create(name=name, slug=slug)
        Membership.objects.create(organization=organization, user=admin, role=Membership.Role.ADMIN)
        record(
            actor=actor,
            action="organization.created",
            organization=organization,
            subject_id=organization.pk,
            subject=name,
            properties={"admin": admin.email},
        )
    return organization


def project_create(
    *, name: str, actor: Actor, organization: Organization | None = None, user: User | None = None
) -> Project:
    """A project of an organization or, personal, of a user: exactly one of them."""
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

"""People, organizations, and whoever and whatever is in them."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Lower, Now

from orgs import zones
from orgs.stored import StoredEmail, StoredSlug, StoredText


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        user = self.model(email=email.strip().lower(), **extra)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person; the e-mail address signs in."""

    email = StoredEmail("e-mail", unique=True)
    name = StoredText(max_length=100, help_text="For «Hi, <name>».")
    is_staff = models.BooleanField("staff", default=False)
    is_active = models.BooleanField("active", default=True)
    # A name of the IANA's; "" for UTC. Pages tell times in it.
    time_zone = StoredText(
        max_length=64, blank=True, default="", db_default="", validators=[zones.known]
    )
    date_joined = models.DateTimeField(db_default=Now(), editable=False)
    # False of who made the account by an invitation's link, which may have been copied.
    email_verified = models.BooleanField(default=True, db_default=True, editable=False)
    # Rises with each password link, so that a new one ends those before.
    link_generation = models.PositiveIntegerField(default=0, editable=False)

    # Rises where all their sessions end at once; those of another generation are over.
    session_generation = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case")
        ]

    def __str__(self) -> str:
        return self.email

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Django's, and the generation; sessions from before there were any live on."""
        found = super()._get_session_auth_hash(secret)  # type: ignore[misc]
        return f"{found}:{self.session_generation}" if self.session_generation else found

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def seen_by(self, user: User) -> OrganizationQuerySet:
        """Those a member may see; staff see all (DESIGN «People»). Each with `role_of_asker`."""
        own = Membership.objects.filter(organization=OuterRef("pk"), user=user)
        seen = self.annotate(role_of_asker=Subquery(own.values("role")[:1]))
        return seen if user.is_staff else seen.filter(memberships__user=user)

    def administered_by(self, user: User) -> OrganizationQuerySet:
        return self.filter(memberships__user=user, memberships__role=Membership.Role.ADMIN)


class Organization(models.Model):
    name = StoredText(max_length=100)
    slug = StoredSlug(max_length=60, unique=True)
    # Never used again, so that what a cloud trusts isn't another's of the same name later.
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # An org admin without a second step reaches nothing of it, nor do their API tokens.
    admins_need_mfa = models.BooleanField(default=False, db_default=False)
    # Its people get no new personal projects; those there stay.
    no_personal_projects = models.BooleanField(default=False, db_default=False)
    # Of `demo_data`: no registry is asked for it, nobody is mailed, it counts nowhere.
    made_up = models.BooleanField(default=False, db_default=False, editable=False)
    role_of_asker: str | None  # only where `seen_by` gave it; None for staff from outside

    objects: ClassVar[OrganizationQuerySet] = OrganizationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["made_up"], condition=Q(made_up=True), name="one_made_up_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name


class FormerSlug(models.Model):
    """A short name that an organization had: its addresses lead on, and no other ever has it,
    also once the organization is gone."""

    slug = StoredSlug(max_length=60, primary_key=True)
    organization = models.ForeignKey(
        Organization, models.SET_NULL, null=True, related_name="former_slugs"
    )

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    class Role(models.TextChoices):
        ADMIN = "admin", "Org admin"
        MEMBER = "member", "Member"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = StoredText(max_length=10, choices=Role, default=Role.MEMBER)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    # Whether an org admin gets an e-mail when entries stop or start working.
    notices_by_mail = models.BooleanField(default=True, db_default=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="membership_once_per_organization"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.organization}"


class Project(models.Model):
    """Owned by exactly one organization or one person (personal)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = StoredText(max_length=100)
    organization = models.ForeignKey(
        Organization, models.CASCADE, null=True, blank=True, related_name="projects"
    )
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="projects")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # Since then its workers get no login; None for one in use.
    archived_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(organization__isnull=False, user__isnull=True)
                | Q(organization__isnull=True, user__isnull=False),
                name="project_has_one_owner",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Environment(models.Model):
    """A named group of workers of an organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="environments")
    name = StoredText(max_length=100)
    slug = StoredSlug(max_length=60)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "slug"], name="environment_slug_once_per_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name

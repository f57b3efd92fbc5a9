"""Tables, their constraints, and querysets that carry the tenant in the query.

Writes to registry entries go through `services.entries`, and nowhere else.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from .sealed import Sealed, SealedField
from .stored import StoredEmail, StoredJson, StoredSlug, StoredText, StoredTexts


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
    date_joined = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case")
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def seen_by(self, user: User) -> OrganizationQuerySet:
        """Those a member may see; staff see all (DESIGN «People»)."""
        return self if user.is_staff else self.filter(memberships__user=user)

    def administered_by(self, user: User) -> OrganizationQuerySet:
        return self.filter(memberships__user=user, memberships__role=Membership.Role.ADMIN)


class Organization(models.Model):
    name = StoredText(max_length=100)
    slug = StoredSlug(max_length=60, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[OrganizationQuerySet] = OrganizationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    class Role(models.TextChoices):
        ADMIN = "admin", "Org admin"
        MEMBER = "member", "Member"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = StoredText(max_length=10, choices=Role, default=Role.MEMBER)

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
    created_at = models.DateTimeField(auto_now_add=True)

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


class RegistryEntryQuerySet(models.QuerySet["RegistryEntry"]):
    def of(self, organization: Organization) -> RegistryEntryQuerySet:
        """The organization's entries with their patterns, failing first."""
        return (
            self.filter(organization=organization)
            .defer("secrets")
            .prefetch_related("patterns__environment")
            .order_by(
                models.Case(
                    models.When(
                        status__in=[
                            RegistryEntry.Status.FAILING,
                            RegistryEntry.Status.UNREADABLE,
                        ],
                        enabled=True,
                        then=0,
                    ),
                    default=1,
                ),
                "-created_at",
                "id",
            )
        )


class RegistryEntry(models.Model):
    """One configured access. `config` may be shown, `secrets` never is."""

    class Status(models.TextChoices):
        UNVERIFIED = "unverified", "Not verified"
        VERIFIED = "verified", "Verified"
        FAILING = "failing", "Failing"
        UNREADABLE = "unreadable", "Secret unreadable"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="entries")
    registry_type = StoredText(max_length=40)
    config = StoredTexts(default=dict)
    secrets: Sealed | None = SealedField(null=True, editable=False)  # type: ignore[assignment]
    enabled = models.BooleanField(default=True)
    note = StoredText(max_length=500, blank=True, lines=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    updated_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    secrets_changed_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # The newest real result, from a check or a worker's login.
    status = StoredText(max_length=12, choices=Status, default=Status.UNVERIFIED)
    status_at = models.DateTimeField(null=True)
    status_code = StoredText(max_length=40, cut=True, blank=True)
    status_detail = StoredText(max_length=1000, cut=True, blank=True)
    # The worker token that reported it; empty where this server saw it itself.
    status_reporter = StoredText(max_length=100, cut=True, blank=True)
    # Since when org admins know that it fails; empty once they know that it works again.
    failure_told_at = models.DateTimeField(null=True)
    # Rises with any change of type, config, secrets or enabled, and nothing else.
    credentials_version = models.PositiveIntegerField(default=1)

    objects: ClassVar[RegistryEntryQuerySet] = RegistryEntryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "registry entries"
        indexes = [models.Index(fields=["organization", "-created_at"])]

    def __str__(self) -> str:
        # prefetched on lists: `patterns.all()` costs no query there
        return entry_title(self.pattern_texts) or str(self.id)

    @property
    def sealed_for(self) -> str:
        """The context of the sealed secrets."""
        return f"registryentry:{self.id}"

    @property
    def pattern_texts(self) -> list[str]:
        """As given, in the order given, once each (environments repeat rows)."""
        rows = sorted(self.patterns.all(), key=lambda row: row.position)
        return list(dict.fromkeys(row.text for row in rows))

    @property
    def environments(self) -> list[Environment]:
        """Those it is limited to; empty means all."""
        found = {row.environment for row in self.patterns.all() if row.environment}
        return sorted(found, key=lambda environment: environment.name)


def entry_title(patterns: Sequence[str]) -> str:
    """What an entry is called: its first pattern, and how many more; "" without any."""
    more = f" (+{len(patterns) - 1})" if len(patterns) > 1 else ""
    return f"{patterns[0]}{more}" if patterns else ""


class MatchPattern(models.Model):
    """The index of resolution: one row per pattern × environment (null = all)."""

    # `pattern_lookup` begins with it: an index of its own would only cost writes.
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+", db_index=False)
    entry = models.ForeignKey(RegistryEntry, models.CASCADE, related_name="patterns")
    # RESTRICT, not PROTECT: an environment in use stays, but goes with its organization.
    environment = models.ForeignKey(
        Environment, models.RESTRICT, null=True, related_name="patterns"
    )
    enabled = models.BooleanField(help_text="Copied from the entry.")
    text = StoredText(max_length=600, help_text="As given.")
    normalized = StoredText(max_length=600)
    host = StoredText(max_length=300, help_text="host[:port]; «*.» for any first label.")
    prefix = StoredText(max_length=255, blank=True, help_text="Leading literal segments.")
    wildcard_host = models.BooleanField()
    wildcard_path = models.BooleanField()
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            # Two, since NULLs are distinct, and `nulls_distinct=False` silently
            # makes no constraint at all on SQLite.
            models.UniqueConstraint(
                fields=["normalized", "organization", "environment"],
                condition=Q(enabled=True, environment__isnull=False),
                name="pattern_once_per_environment",
            ),
            models.UniqueConstraint(
                fields=["normalized", "organization"],
                condition=Q(enabled=True, environment__isnull=True),
                name="pattern_once_for_all_environments",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "host", "prefix"], name="pattern_lookup"),
        ]

    def __str__(self) -> str:
        return self.text


class Verification(models.Model):
    """The newest check of an entry, step by step; the claim lets one run at a time."""

    entry = models.OneToOneField(RegistryEntry, models.CASCADE, related_name="verification")
    at = models.DateTimeField(null=True)
    # What was looked for, and is again next time; empty where none was named.
    image = StoredText(max_length=700, blank=True)
    steps = StoredJson(default=list)
    claim_id = models.UUIDField(null=True)
    claim_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"verification of {self.entry_id}"


class CachedLogin(models.Model):
    """A minted login, shared by every process; the lease lets one refresh it."""

    entry = models.ForeignKey(RegistryEntry, models.CASCADE, related_name="cached_logins")
    scope = StoredText(max_length=300, blank=True)
    login: Sealed | None = SealedField(null=True)  # type: ignore[assignment]
    credentials_version = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)
    refresh_after = models.DateTimeField(null=True)
    # After a failure: what it was, and when the next try may be made.
    next_try_at = models.DateTimeField(null=True)
    error_code = StoredText(max_length=40, cut=True, blank=True)
    error_what = StoredText(max_length=600, cut=True, blank=True)
    error_fix = StoredText(max_length=600, cut=True, blank=True)
    # Rises with every outcome: a lease is taken only on the outcome that was seen, so
    # that whoever looked just before a login was stored doesn't fetch another.
    outcomes = models.PositiveIntegerField(default=0)
    lease_id = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry", "scope"], name="cached_login_once_per_scope")
        ]

    def __str__(self) -> str:
        return f"login of {self.entry_id} {self.scope}".strip()

    @property
    def sealed_for(self) -> str:
        return cached_login_context(self.entry_id, self.scope)


def cached_login_context(entry_id: uuid.UUID, scope: str) -> str:
    return f"cachedlogin:{entry_id}:{scope}"


class ImportDraft(models.Model):
    """A file that was chosen for import and waits for its person to confirm.

    One per person and organization, for a quarter of an hour (`services.drafts`).
    The content holds secrets, so it is sealed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    file_name = StoredText(max_length=200, cut=True)
    format = StoredText(max_length=10)
    update = models.BooleanField()
    content: Sealed = SealedField(editable=False)  # type: ignore[assignment]
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="import_draft_once_per_person"
            )
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def sealed_for(self) -> str:
        return f"importdraft:{self.id}"


class Token(models.Model):
    """What both kinds of token have in common.

    Their text is shown once and never stored: the key id finds the row, the digest
    (SHA-256 of the whole text, which holds 256 random bits) proves it.
    """

    prefix: ClassVar[str]

    key_id = StoredText(max_length=16, unique=True, editable=False)
    digest = StoredText(max_length=64, editable=False)
    name = StoredText(max_length=100)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Written when older than five minutes, and with it the address it came from.
    last_used_at = models.DateTimeField(null=True)
    last_address = models.GenericIPAddressField(null=True)

    class Meta:
        abstract = True
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def begins_with(self) -> str:
        """The part that may be shown, to tell tokens apart."""
        return f"{self.prefix}_{self.key_id}"


class WorkerToken(Token):
    """Workers of an organization ask for logins with it.

    Bound to an environment it speaks for that one; «any environment» lets it name
    one; else it reaches only what serves all environments (DESIGN, rule 8).
    """

    prefix = "vrw"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="worker_tokens")
    # RESTRICT: without its environment a token would reach something else than before;
    # with its organization it may go.
    environment = models.ForeignKey(
        Environment, models.RESTRICT, null=True, related_name="worker_tokens"
    )
    any_environment = models.BooleanField(default=False)

    class Meta(Token.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(environment=None) | Q(any_environment=False),
                name="worker_token_has_one_reach",
            )
        ]


class ApiToken(Token):
    """A person's, for the management API; narrowed to one organization, or to none.

    It is narrowed by their membership, so that it ends with that, and stays ended
    should they come back.
    """

    prefix = "vra"

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    membership = models.ForeignKey(Membership, models.CASCADE, null=True, related_name="api_tokens")

    @property
    def organization(self) -> Organization | None:
        """The only one it reaches, or None for all of its person's."""
        return self.membership.organization if self.membership else None


class AppendOnly(Exception):
    """Audit events are never changed or deleted, but for pruning."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise AppendOnly("Audit events can't be changed.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly("Audit events can't be deleted; prune_audit_log drops old ones.")


class AuditEvent(models.Model):
    """Who did what. No foreign keys: plain ids and names outlive what they name."""

    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = StoredText(max_length=200, cut=True)
    actor_id = models.BigIntegerField(null=True)
    staff = models.BooleanField(default=False)
    action = StoredText(max_length=40, cut=True)
    organization_id = models.BigIntegerField(null=True)
    organization = StoredText(max_length=100, cut=True, blank=True)
    project_id = models.UUIDField(null=True)
    project = StoredText(max_length=100, cut=True, blank=True)
    subject_id = StoredText(max_length=40, cut=True, blank=True)
    subject = StoredText(max_length=700, cut=True, blank=True)
    code = StoredText(max_length=40, cut=True, blank=True)
    properties = StoredJson(default=dict)
    source_address = models.GenericIPAddressField(null=True)

    objects: ClassVar[AuditEventQuerySet] = AuditEventQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(F("organization_id"), F("at").desc(), name="audit_by_organization"),
            # One for each filter of the log's page, in the order that it shows.
            models.Index(F("organization_id"), F("actor"), F("at").desc(), name="audit_by_actor"),
            models.Index(F("organization_id"), F("action"), F("at").desc(), name="audit_by_action"),
            models.Index(F("organization_id"), F("code"), F("at").desc(), name="audit_by_code"),
            models.Index(
                F("organization_id"), F("project"), F("at").desc(), name="audit_by_project"
            ),
            models.Index(
                F("organization_id"), F("source_address"), F("at").desc(), name="audit_by_source"
            ),
            models.Index(
                fields=["organization_id", "subject"],
                name="audit_by_beginning",
                opclasses=["int8_ops", "varchar_pattern_ops"],
            ),
            models.Index(fields=["subject_id", "-at"], name="audit_by_subject"),
            models.Index(fields=["at"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("Audit events can't be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("Audit events can't be deleted; prune_audit_log drops old ones.")

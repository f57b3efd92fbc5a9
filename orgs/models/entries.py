"""Registry entries, their patterns, and what is kept of them.

Writes to registry entries go through `services.entries`, and nowhere else.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Now

from orgs.sealed import Sealed, SealedField
from orgs.stored import StoredJson, StoredText, StoredTexts

from .people import Environment, Organization, User

# As it is indexed; a cast, since what compares JSON wouldn't compare a text with it.
KEY_ID = Cast(KeyTextTransform("access_key_id", "config"), models.TextField())


# An entry that is disabled is in nobody's way.
FAILING_FIRST = models.Case(
    models.When(status__in=["failing", "unreadable"], enabled=True, then=0),
    models.When(status="unreachable", enabled=True, then=1),
    default=2,
)


class RegistryEntryQuerySet(models.QuerySet["RegistryEntry"]):
    def of(self, organization: Organization) -> RegistryEntryQuerySet:
        """The organization's entries with their patterns, failing first."""
        return (
            self.filter(organization=organization)
            .defer("secrets")
            .prefetch_related("patterns__environment")
            .order_by(
                FAILING_FIRST,
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
        UNREACHABLE = "unreachable", "Registry unreachable"
        UNREADABLE = "unreadable", "Secret unreadable"
        WAITING = "waiting", "Waiting for trust"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="entries")
    registry_type = StoredText(max_length=40)
    config = StoredTexts(default=dict)
    secrets: Sealed | None = SealedField(null=True, editable=False)  # type: ignore[assignment]
    enabled = models.BooleanField(default=True)
    note = StoredText(max_length=500, blank=True, lines=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    updated_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    secrets_changed_at = models.DateTimeField(null=True)
    # The day on which the secret ends, as someone said (UTC), and the last reminder of it,
    # in days before.
    secret_expires_on = models.DateField(null=True)
    secret_end_told = models.PositiveSmallIntegerField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # The newest real result, from a verification or a worker's login.
    status = StoredText(max_length=12, choices=Status, default=Status.UNVERIFIED)
    status_at = models.DateTimeField(null=True)
    status_code = StoredText(max_length=40, cut=True, blank=True)
    status_detail = StoredText(max_length=1000, cut=True, blank=True)
    # The worker token that reported it; empty where this server saw it itself.
    status_reporter = StoredText(max_length=100, cut=True, blank=True)
    # Since when org admins know that it fails; empty once they know that it works again.
    failure_told_at = models.DateTimeField(null=True)
    # When they were last mailed that it fails; stays when it works again.
    failure_mailed_at = models.DateTimeField(null=True)
    # When a role was last seen to refuse what it must, and of which credentials_version that is.
    proved_at = models.DateTimeField(null=True)
    proved_version = models.PositiveIntegerField(null=True)
    # Rises with any change of type, config, secrets or enabled, and nothing else.
    credentials_version = models.PositiveIntegerField(default=1)

    objects: ClassVar[RegistryEntryQuerySet] = RegistryEntryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "registry entries"
        indexes = [
            models.Index(fields=["organization", "-created_at"]),
            # Across organizations, for staff: what fails, and whose key it is.
            models.Index(fields=["status", "enabled"], name="entry_by_status"),
            models.Index(KEY_ID, name="entry_by_key_id"),
            models.Index(
                fields=["secret_expires_on"],
                name="entry_by_secret_end",
                condition=Q(secret_expires_on__isnull=False),
            ),
        ]

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


class IndexedPattern(models.Model):
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
        db_table = "orgs_matchpattern"
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
            # Across organizations, for staff: by its beginning, as an account's number is.
            models.Index(
                fields=["normalized"], name="pattern_beginning", opclasses=["varchar_pattern_ops"]
            ),
        ]

    def __str__(self) -> str:
        return self.text


class Verification(models.Model):
    """The newest verification of an entry, step by step; the claim lets one run at a time."""

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
    scope = StoredText(max_length=400, blank=True)
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

    One per person and organization, for a quarter of an hour (`services.bulk.drafts`).
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
    # The run that imports it, which it waits for as long as that takes.
    run = models.OneToOneField("orgs.Run", models.CASCADE, null=True, related_name="+")
    # There once it is opened: the file, and what was corrected in it (`services.bulk.drafts`).
    chosen: bytes = b""
    corrected: Sequence[Any] = ()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"],
                condition=Q(run=None),
                name="import_draft_once_per_person",
            )
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def sealed_for(self) -> str:
        return f"importdraft:{self.id}"

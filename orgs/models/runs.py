"""Long work: what an organization has going on, and what came of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs.stored import StoredJson, StoredText

from .people import Organization, User


class Run(models.Model):
    """Work that takes longer than a page: one of a kind at a time in an organization.

    Whoever holds the lease does it (`services.runs.going`); who died holding it loses it,
    and another process goes on where the rows say.
    """

    class Kind(models.TextChoices):
        VERIFY = "verify", "Verifying"
        IMPORT = "import", "Importing"
        EXPORT = "export", "Exporting"
        ENABLE = "enable", "Enabling"
        DISABLE = "disable", "Disabling"

    class State(models.TextChoices):
        GOING = "going", "Going on"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="runs")
    kind = StoredText(max_length=10, choices=Kind)
    state = StoredText(max_length=10, choices=State, default=State.GOING)
    # Who began it, as the audit log names them.
    begun_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    actor = StoredText(max_length=200)
    as_staff = models.BooleanField(default=False)
    source_address = models.GenericIPAddressField(null=True)
    begun_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    stop_wanted = models.BooleanField(default=False)
    lease_id = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    # What the kind needs to know, and what it tells at the end; never a secret.
    given = StoredJson(default=dict)
    told = StoredJson(default=dict)

    class Meta:
        ordering = ["-begun_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind"],
                condition=Q(state="going"),
                name="run_one_of_a_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.total}"

    @property
    def is_going(self) -> bool:
        return self.state == self.State.GOING


class RunRow(models.Model):
    """One thing of a run and what came of it: an id and a name as text, since the thing
    may be deleted meanwhile."""

    class Result(models.TextChoices):
        WAITING = "", "Waiting"
        OK = "ok", "Verified"
        UNREACHABLE = "unreachable", "Login works, registry unreachable"
        FAILED = "failed", "Failed"
        NOT_CHECKED = "not_checked", "Not checked"
        ENABLED = "enabled", "Enabled"
        DISABLED = "disabled", "Disabled"
        SAME = "same", "So already"
        REFUSED = "refused", "Refused"
        GONE = "gone", "Deleted meanwhile"

    run = models.ForeignKey(Run, models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    subject_id = models.UUIDField()
    subject = StoredText(max_length=700, cut=True)
    # Whether people had been told of it as failing when the run began.
    was_failing = models.BooleanField(default=False)
    result = StoredText(max_length=12, choices=Result, default=Result.WAITING, blank=True)
    code = StoredText(max_length=40, default="", blank=True)
    detail = StoredText(max_length=2000, default="", blank=True, cut=True)
    at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="run_row_once_a_position")
        ]

    def __str__(self) -> str:
        return self.subject


class RunFile(models.Model):
    """What an export made, until it is dropped with its run; without secrets."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="file")
    name = StoredText(max_length=200)
    packed = models.BinaryField()

    def __str__(self) -> str:
        return self.name

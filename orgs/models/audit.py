"""Audit events: append-only, without foreign keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from orgs.stored import StoredJson, StoredText

# What SQLite wants to read in a query before it uses the index that is made of these.
RARE_ACTION = ~Q(action="login.issued")
RARE_CODE = ~Q(code="ok")


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
            # Across organizations, for staff. Without logins given, which nearly all events
            # are: these are found by time alone, and writing them costs nothing here.
            models.Index(
                F("action"), F("at").desc(), name="audit_all_by_action", condition=RARE_ACTION
            ),
            models.Index(F("code"), F("at").desc(), name="audit_all_by_code", condition=RARE_CODE),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("Audit events can't be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("Audit events can't be deleted; prune_audit_log drops old ones.")

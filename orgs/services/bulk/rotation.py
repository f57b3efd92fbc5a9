"""Re-sealing everything under the first key, in batches, while the system serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from allauth.mfa.models import Authenticator
from django.db import models, transaction

from orgs.models import (
    CachedLogin,
    Heartbeat,
    ImportDraft,
    NoticeAddress,
    RegistryEntry,
    SigningKey,
)
from orgs.sealed import Unreadable
from orgs.services.audit.events import COMMAND_LINE, record
from orgs.services.tenancy import second_steps

from . import drafts

BATCH = 200


@dataclass
class Report:
    """How many values are under the first key now, and which rows don't open."""

    resealed: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate_secrets() -> Report:
    """Every sealed value once; rows are locked a batch at a time, nothing else changes."""
    report = Report()
    drafts.expire()
    sealed_fields: tuple[tuple[type[models.Model], str], ...] = (
        (RegistryEntry, "secrets"),
        (CachedLogin, "login"),
        (ImportDraft, "content"),
        (Heartbeat, "sealed"),
        (NoticeAddress, "address"),
        (NoticeAddress, "secret"),
        (SigningKey, "private"),
    )
    for model, name in sealed_fields:
        last = None
        while True:
            keys = _next_keys(model, name, last)
            if not keys:
                break
            _reseal(model, name, keys, report)
            last = keys[-1]
    _reseal_second_steps(report)
    record(
        actor=COMMAND_LINE,
        action="secrets.rotated",
        properties={"resealed": report.resealed, "unreadable": len(report.unreadable)},
    )
    return report


def _next_keys(model: type[models.Model], name: str, after: object) -> list:
    rows = model._default_manager.filter(**{f"{name}__isnull": False}).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _reseal(model: type[models.Model], name: str, keys: list, report: Report) -> None:
    with transaction.atomic():
        rows = model._default_manager.select_for_update().filter(
            **{"pk__in": keys, f"{name}__isnull": False}
        )
        for row in rows:
            try:
                value = getattr(row, name).resealed()
            except Unreadable:
                report.unreadable.append(f"{model._meta.verbose_name} {row.pk}")
                continue
            model._default_manager.filter(pk=row.pk).update(**{name: value})
            report.resealed += 1


def _reseal_second_steps(report: Report) -> None:
    """What django-allauth keeps as JSON; a person's few rows at a time."""
    for key in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=key).first()
            if row is None:
                continue
            try:
                row.data, count = second_steps.resealed(row.data)
            except Unreadable:
                report.unreadable.append(f"second step {row.pk}")
                continue
            if count:
                row.save(update_fields=["data"])
                report.resealed += count

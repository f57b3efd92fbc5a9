"""Verifies every enabled entry, as Verify does, and stores what came of it; reminds of
secrets that end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.models import RegistryEntry
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.entries import secret_ends
from orgs.services.verification.many import Outcome, told_of, verify_in_turn
from orgs.services.verification.verifying import Report


class Command(Base):
    help = (
        "Verify every enabled entry and store the result; exit 1 if any fails. "
        "Org admins are reminded of secrets that end in 30, 14, 7 and 1 days, once each."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="else all organizations")
        parser.add_argument("--json", action="store_true", help="one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        found = RegistryEntry.objects.filter(enabled=True, organization__made_up=False)
        if options["organization"]:
            organization = self.organization(options["organization"])
            if organization.made_up:
                self.fail(f"{organization} is made up, so no registry is asked for it.")
            found = found.filter(organization=organization)
        secret_ends.remind(found)
        found = found.select_related("organization").prefetch_related("patterns__environment")
        told = []
        in_order = found.order_by("organization_id", "created_at")
        for entry, outcome in verify_in_turn(in_order, COMMAND_LINE):
            told.append(_document(entry, outcome))
            if not options["json"]:
                self.stdout.write(_line(told[-1]))
        failed = sum(document["result"] == "failed" for document in told)
        if options["json"]:
            self.print_json({"checked": len(told), "failed": failed, "entries": told})
        else:
            self.stdout.write(f"{len(told)} checked, {failed} failed.")
        if failed:
            raise SystemExit(1)


def _document(entry: RegistryEntry, outcome: Outcome) -> dict[str, Any]:
    """`result` as `told_of` has it."""
    told = told_of(outcome)
    steps = outcome.steps if isinstance(outcome, Report) else []
    return {
        "id": str(entry.pk),
        "organization": entry.organization.slug,
        "type": entry.registry_type,
        "image_pattern": str(entry),
        "result": str(told.result),
        "waiting": isinstance(outcome, Report) and outcome.waits,
        "code": told.code,
        "detail": told.detail,
        "steps": [{"step": step.name, "result": step.result} for step in steps],
    }


def _line(told: dict[str, Any]) -> str:
    sign = {"ok": "✓", "failed": "✕", "unreachable": "◑", "not_checked": "◇"}[told["result"]]
    sign = "◌" if told["waiting"] else sign
    line = f"{sign} {told['organization']}  {told['image_pattern']}"
    return f"{line}\n    {told['code']}: {told['detail']}" if told["code"] else line

"""Verifies every enabled entry, as Verify does, and stores what came of it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.models import RegistryEntry
from orgs.registries.problems import Failed, Refused
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.verification.verifying import Report, verify_each

Outcome = Report | Failed | Refused


class Command(Base):
    help = "Verify every enabled entry and store the result; exit 1 if any fails."

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
        found = found.select_related("organization").prefetch_related("patterns__environment")
        told = []
        for entry, outcome in verify_each(
            found.order_by("organization_id", "created_at"), COMMAND_LINE
        ):
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
    """`result` is ok, failed, unreachable where the login works and the registry doesn't
    answer this server, or not_checked: where only a worker can, or what was to be seen
    can't be from here."""
    document: dict[str, Any] = {
        "id": str(entry.pk),
        "organization": entry.organization.slug,
        "type": entry.registry_type,
        "image_pattern": str(entry),
    }
    if isinstance(outcome, Report):
        failed = outcome.failed
        document |= {
            "result": _result(outcome),
            "code": failed.code if failed else "",
            "detail": f"{failed.what} {failed.fix}".strip() if failed else "",
            "steps": [{"step": step.name, "result": step.result} for step in outcome.steps],
        }
    elif isinstance(outcome, Refused):
        on_worker = outcome.code == "checked_on_workers"
        result = "not_checked" if on_worker else "failed"
        document |= {"result": result, "code": outcome.code, "detail": str(outcome), "steps": []}
    else:
        document |= {
            "result": "failed",
            "code": outcome.code,
            "detail": outcome.in_full,
            "steps": [],
        }
    return document


def _result(report: Report) -> str:
    if report.holds:
        return "ok"
    failed = report.failed
    broken = report.status in (RegistryEntry.Status.FAILING, RegistryEntry.Status.UNREADABLE)
    if broken or failed is None or failed.name == "login":
        return "failed"
    unreachable = report.status == RegistryEntry.Status.UNREACHABLE
    return "unreachable" if unreachable else "not_checked"


def _line(told: dict[str, Any]) -> str:
    sign = {"ok": "✓", "failed": "✕", "unreachable": "◑", "not_checked": "◇"}[told["result"]]
    line = f"{sign} {told['organization']}  {told['image_pattern']}"
    return f"{line}\n    {told['code']}: {told['detail']}" if told["code"] else line

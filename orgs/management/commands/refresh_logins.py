"""Renews the logins that are due and were used in the last day; the server does so by itself."""

from __future__ import annotations

from typing import Any

from orgs.management.base import Command as Base
from orgs.services.logins.renewing import renew_due


class Command(Base):
    help = "Renew the logins that are due and were used in the last day; exit 1 if any fails."

    def handle(self, *args: Any, **options: Any) -> None:
        found = renew_due()
        for entry, error in found.failed:
            self.stderr.write(f"{entry}: {error.in_full}")
        self.stdout.write(f"{found.done} renewed, {len(found.failed)} failed.")
        if found.failed:
            raise SystemExit(1)

"""What the commands share that change what clouds were told of this server."""

from __future__ import annotations

import sys

from django.core.management.base import CommandParser

from orgs.services.identity import issuer

from .base import Command as Base


class Command(Base):
    def confirm(self, told: str) -> None:
        """On a terminal, say what is about to happen and to which entries, and ask; ends with 1
        where the answer isn't yes. Elsewhere nobody is there to ask, and running it says it."""
        if not sys.stdin.isatty():
            return
        self.list_trusting(told)
        self.stdout.write("Go on? [y/N] ", ending="")
        self.stdout.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            self.fail("Nothing was changed.")

    def list_trusting(self, told: str) -> None:
        """The entries that rest on what clouds were told, under a sentence; or that none do."""
        any_yet = False
        for entry in issuer.trusting():
            if not any_yet:
                self.stdout.write(told)
            any_yet = True
            patterns = ", ".join(entry.pattern_texts)
            self.stdout.write(f"  {entry.organization.slug}: {patterns} ({entry.pk})")
        if not any_yet:
            self.stdout.write("No entry rests on what clouds were told of this server.")


def add_yes_argument(parser: CommandParser) -> None:
    parser.add_argument("--yes", action="store_true", help="don't ask on a terminal")

"""What the commands share: exit codes, and no traceback for expected failures.

Exit 0 done, 1 the thing asked for did not hold, 2 wrong usage (CONTRACT).
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from orgs.checks import OWN
from orgs.models import Organization, User
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed, Refused
from orgs.services.tenancy.tokens import LONGEST


class Command(BaseCommand):
    """A command parses; a service works. `Refused` and `Failed` become exit 1."""

    requires_system_checks = [OWN]

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Failed as error:
            self.fail(f"{error.code}: {error.in_full}")
        except Refused as refused:
            self.fail("\n".join(f"{p.code}: {p}" for p in refused.problems))

    def fail(self, text: str, code: int = 1) -> NoReturn:
        self.stderr.write(text)
        sys.exit(code)

    def image(self, text: str) -> ImageReference:
        """The image named on the command line; not one is wrong usage."""
        try:
            return ImageReference.parse(text.strip())
        except Refused as refused:
            self.fail(f"{refused.code}: {refused}", 2)

    def organization(self, slug: str, otherwise: int = 1) -> Organization:
        """The organization with this slug; none is a failure, not a traceback."""
        found = Organization.objects.filter(slug=slug).first()
        if found is None:
            self.fail(f"There is no organization {slug}.", otherwise)
        return found

    def person(self, email: str, *, active: bool = False) -> User:
        """Who has this e-mail; nobody, or with `active` nobody who may sign in, is a failure."""
        email = email.strip().lower()
        found = User.objects.filter(email=email).first()
        if found is None or (active and not found.is_active):
            self.fail(f"There is no {'active ' if active else ''}user {email}.")
        return found

    def print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))


def add_expires_in_argument(parser: CommandParser) -> None:
    parser.add_argument("--expires-in", type=_days, metavar="DAYS", help="else it has no end")


def _days(text: str) -> timedelta:
    """argparse turns the ValueError into wrong usage."""
    days = int(text)
    if not 1 <= days <= LONGEST.days:
        raise ValueError(text)
    return timedelta(days=days)


_days.__name__ = "number of days"  # as argparse names it


def add_image_arguments(parser: CommandParser) -> None:
    parser.add_argument("image", help="as in docker pull and valohai.yaml")
    parser.add_argument("--project", required=True, metavar="ID")
    parser.add_argument("--environment", metavar="SLUG")

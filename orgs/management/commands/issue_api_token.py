"""issue_api_token EMAIL --name NAME [--organization SLUG] [--expires-in DAYS]"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.management.base import add_expires_in_argument
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import tokens


class Command(Base):
    help = "Issue a person's token for the management API and print it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="what will use it")
        parser.add_argument("--organization", metavar="SLUG", help="the only one it reaches")
        add_expires_in_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = self.person(options["email"], active=True)
        slug = options["organization"]
        _, text = tokens.token_issue_api(
            user=user,
            name=options["name"],
            actor=COMMAND_LINE,
            organization=self.organization(slug) if slug else None,
            expires_in=options["expires_in"],
        )
        # Alone, so that scripts can take it.
        self.stdout.write(text)

"""issue_worker_token NAME --organization SLUG [--environment SLUG | --any-environment] …"""

from typing import Any

from django.core.management.base import CommandParser

from orgs import access
from orgs.management.base import Command as Base
from orgs.management.base import add_expires_in_argument
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import tokens


class Command(Base):
    help = "Issue a token for workers and print it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="which workers will use it")
        parser.add_argument("--organization", required=True, metavar="SLUG")
        reach = parser.add_mutually_exclusive_group()
        reach.add_argument("--environment", metavar="SLUG", help="bind it to this one")
        reach.add_argument(
            "--any-environment", action="store_true", help="let it name any environment"
        )
        add_expires_in_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        organization = self.organization(options["organization"])
        slug = options["environment"]
        _, text = tokens.token_issue_worker(
            organization=organization,
            name=options["name"],
            actor=COMMAND_LINE,
            environment=access.environment_in(organization, slug) if slug else None,
            any_environment=options["any_environment"],
            expires_in=options["expires_in"],
        )
        # Alone, so that scripts can take it.
        self.stdout.write(text)

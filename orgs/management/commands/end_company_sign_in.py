"""end_company_sign_in EMAIL"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import sso


class Command(Base):
    help = "End the connection of a person's account with their company's sign-in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        person = self.person(options["email"])
        count = sso.disconnect(person=person, actor=COMMAND_LINE)
        self.stdout.write(f"{count} ended.")

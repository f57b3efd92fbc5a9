"""password_link EMAIL"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import people


class Command(Base):
    help = "Print a one-time link where a person sets a new password; it ends their pause too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        person = self.person(options["email"], active=True)
        # Alone, so that scripts can take it.
        self.stdout.write(people.person_link(person=person, actor=COMMAND_LINE))

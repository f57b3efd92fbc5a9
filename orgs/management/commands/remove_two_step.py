"""remove_two_step EMAIL"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import second_steps


class Command(Base):
    help = "Take off a person's second steps of signing in, who lost them; the password stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        person = self.person(options["email"])
        if not second_steps.take_off(person=person, actor=COMMAND_LINE):
            self.fail(f"{person} has no second step.")
        self.stdout.write(f"{person} signs in by the password alone, until a new step is set up.")

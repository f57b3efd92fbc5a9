"""create_organization NAME [--slug S] --admin EMAIL"""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.core.validators import validate_email
from django.db import transaction

from orgs.management.base import Command as Base
from orgs.registries.problems import Refused
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import organizations, people


class Command(Base):
    help = "Create an organization and its first admin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--slug", help="short name in addresses; else made from the name")
        parser.add_argument("--admin", required=True, metavar="EMAIL")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_email(options["admin"].strip())
        except ValidationError:
            self.fail(f"{options['admin']} isn't an e-mail address.", 2)
        try:
            with transaction.atomic():
                admin, new = organizations.person(options["admin"])
                made = organizations.organization_create(
                    name=options["name"], slug=options["slug"], admin=admin, actor=COMMAND_LINE
                )
        except Refused as refused:
            self.fail(f"{refused.code}: {refused} (--slug)")
        self.stdout.write(f"Organization {made.name} ({made.slug}); {admin.email} is org admin.")
        if new:
            self.stdout.write("To set a password, once, within three days:")
            self.stdout.write(people.person_link(person=admin, actor=COMMAND_LINE))

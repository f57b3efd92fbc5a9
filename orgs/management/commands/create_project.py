"""create_project NAME (--organization SLUG | --user EMAIL)"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.models import Organization, User
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.tenancy import projects


class Command(Base):
    help = "Create a project and print its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--organization", metavar="SLUG")
        owner.add_argument("--user", metavar="EMAIL", help="a personal project")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, email = options["organization"], options["user"]
        organization = Organization.objects.filter(slug=slug).first() if slug else None
        user = User.objects.filter(email=email.strip().lower()).first() if email else None
        if organization is None and user is None:
            self.fail(f"There is no {f'organization {slug}' if slug else f'user {email}'}.")
        project = projects.project_create(
            name=options["name"], organization=organization, user=user, actor=COMMAND_LINE
        )
        self.stdout.write(str(project.pk))

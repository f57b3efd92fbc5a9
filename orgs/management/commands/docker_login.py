"""docker_login IMAGE --project ID [--environment SLUG] [--format …]"""

from typing import Any

from django.core.management.base import CommandParser

from orgs import access
from orgs.management.base import Command as Base
from orgs.management.base import add_image_arguments
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.logins import formats, issuing


class Command(Base):
    help = "Print the Docker login for an image of a project."

    def add_arguments(self, parser: CommandParser) -> None:
        add_image_arguments(parser)
        parser.add_argument("--format", choices=["login", *formats.FORMATS], default="login")

    def handle(self, *args: Any, **options: Any) -> None:
        image = self.image(options["image"])
        project, environment = access.project_for_operator(
            options["project"], options["environment"]
        )
        answer = issuing.login_for(
            project=project, image=image, environment=environment, actor=COMMAND_LINE
        )
        if options["format"] == "login":
            self.stdout.write(formats.as_shell(answer))
        else:
            self.print_json(formats.FORMATS[options["format"]](answer))

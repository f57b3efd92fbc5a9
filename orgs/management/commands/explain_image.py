"""explain_image IMAGE --project ID [--environment SLUG] [--json]"""

from typing import Any

from django.core.management.base import CommandParser

from orgs import access
from orgs.management.base import Command as Base
from orgs.management.base import add_image_arguments
from orgs.registries.catalogue import BY_SLUG
from orgs.services.logins import resolve


class Command(Base):
    help = "Tell which entry serves an image, and why the others don't."

    def add_arguments(self, parser: CommandParser) -> None:
        add_image_arguments(parser)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        image = self.image(options["image"])
        project, environment = access.project_for_operator(
            options["project"], options["environment"]
        )
        organization = resolve.organization_of(project)
        found = resolve.explain(organization, image, environment)
        if options["json"]:
            self.print_json(resolve.explanation_json(image, found))
        else:
            self.tell(image, organization, found)
        if found.served is None:
            self.fail(str(resolve.no_match(organization, image)))

    def tell(self, image: Any, organization: Any, found: resolve.Explanation) -> None:
        if found.served is not None:
            entry = found.served.entry
            kind = BY_SLUG.get(entry.registry_type)
            label = kind.label if kind else entry.registry_type
            status = entry.get_status_display()
            self.stdout.write(f"{image} is served by {found.served.pattern} ({label}, {status}).")
        for candidate in found.candidates:
            row = candidate.row
            where = f" [{row.environment.slug}]" if row.environment else ""
            self.stdout.write(f"  {row.text}{where}: {candidate.verdict}")

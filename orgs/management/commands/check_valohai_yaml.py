"""check_valohai_yaml FILE --project ID [--environment SLUG] [--json]"""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from orgs import access
from orgs.management.base import Command as Base
from orgs.services.bulk import yaml_check
from orgs.services.bulk.files import valohai_yaml
from orgs.services.logins import resolve


class Command(Base):
    help = "Tell what serves each image of a valohai.yaml; exit 1 where one needs mending."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--project", required=True, metavar="ID")
        parser.add_argument("--environment", metavar="SLUG")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        project, environment = access.project_for_operator(
            options["project"], options["environment"]
        )
        report = yaml_check.check_yaml(
            organization=resolve.organization_of(project),
            content=self.content(options["file"]),
            environment=environment,
        )
        if options["json"]:
            self.print_json(yaml_check.report_json(report))
        else:
            self.tell(report)
        if not report.ok:
            self.fail(report.summary)

    def content(self, path: Path) -> bytes:
        """The file, and one byte more than may be in it; one that can't be read is wrong usage."""
        try:
            with path.open("rb") as file:
                return file.read(valohai_yaml.MAX_BYTES + 1)
        except OSError as error:
            self.fail(f"{path} can't be read: {error.strerror}.", 2)

    def tell(self, report: yaml_check.Report) -> None:
        for row in report.rows:
            mention = row.mention
            self.stdout.write(f"line {mention.line}, {mention.where}: {mention.text}")
            self.stdout.write(f"  {row.sentence}")
        for warned in report.warnings:
            self.stdout.write(f"line {warned.line}: {warned.sentence}")
        if report.ok:
            self.stdout.write(report.summary)

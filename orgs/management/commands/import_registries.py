"""import_registries FILE --organization SLUG [--format …] [--dry-run] [--update]"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandParser
from django.db import connection
from tqdm import tqdm

from orgs.management.base import Command as Base
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.bulk import files, importing
from orgs.services.bulk.grouping import grouped
from orgs.services.bulk.importing import Outcome, Report

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


class Command(Base):
    help = "Import registry entries from a file: all of them, or none and every error told."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=list(files.READERS), help="else by the file's name")
        parser.add_argument("--dry-run", action="store_true", help="tell, but write nothing")
        parser.add_argument(
            "--update", action="store_true", help="change entries that the file has differently"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        format = options["format"] or files.format_of(path.name)
        if format is None:
            known = ", ".join(files.READERS)
            self.fail(f"{path.name} doesn't end in a known format: give --format ({known}).", 2)
        organization = self.organization(options["organization"], otherwise=2)
        began = time.monotonic()
        try:
            with path.open("rb") as file, rare_search_for_cycles():
                report = self.run(file, format, organization, options)
        except OSError as error:
            self.fail(f"{path} can't be read: {error.strerror}.", 2)
        except KeyboardInterrupt:
            self.fail("Interrupted. Nothing was imported.", INTERRUPTED)
        self.tell(report, time.monotonic() - began)

    def run(self, file: BinaryIO, format: str, organization: Any, options: Any) -> Report:
        work: dict[str, Any] = {
            "organization": organization,
            "rows": files.Rows(file, format),
            "update": options["update"],
        }
        total = expected = None
        # Where its lock is everybody's, only a file that will be written takes it.
        if options["dry_run"] or not connection.features.has_select_for_update:
            planned = self.plan(work, tell=options["dry_run"])
            if planned.errors or options["dry_run"] or not planned.created + planned.updated:
                return planned
            total, expected = planned.rows, planned.fingerprint
        with self.progress("Importing", total) as bar:
            return importing.apply(
                actor=COMMAND_LINE,
                on_row=lambda outcome: bar.update(),
                expected=expected,
                **work,
            )

    def plan(self, work: dict[str, Any], *, tell: bool) -> Report:
        with self.progress("Checking") as bar:

            def told(outcome: Outcome) -> None:
                bar.update()
                if tell:
                    self.tell_row(bar, outcome)

            return importing.plan(on_row=told, **work)

    def progress(self, what: str, total: int | None = None) -> Any:
        """A bar on a terminal, nothing elsewhere."""
        return tqdm(desc=what, total=total, unit=" rows", disable=None, leave=False)

    def tell_row(self, bar: Any, outcome: Outcome) -> None:
        if outcome.kind != "unchanged":
            changes = f": {', '.join(outcome.changes)}" if outcome.changes else ""
            line = f"row {outcome.row} {outcome.kind}{changes}  {outcome.pattern}"
            bar.clear()
            self.stdout.write(line.rstrip())

    def tell(self, report: Report, seconds: float) -> None:
        counts = ", ".join(
            f"{getattr(report, kind):,} {kind}"
            for kind in ("created", "updated", "unchanged", "refused")
        )
        for remark in report.remarks:
            self.stderr.write(str(remark))
        if report.errors:
            self.stderr.write("\n".join(map(str, grouped(report.errors))))
            if report.untold:
                self.stderr.write(f"… and {report.untold:,} more errors.")
            self.fail(
                f"Nothing was imported. {counts}, {len(report.errors) + report.untold:,} errors: "
                "mend them and import the file again."
            )
        if not report.written and report.created + report.updated:
            counts = f"Nothing was written, as asked. It would be: {counts}"
        self.stdout.write(f"{counts}. {report.rows:,} rows in {seconds:.1f} s.")
        if report.advice:
            self.stdout.write(report.advice)


@contextmanager
def rare_search_for_cycles() -> Iterator[None]:
    """Looking for cycles every few hundred objects, Python takes a fifth of the time for it."""
    usual = gc.get_threshold()
    gc.set_threshold(20_000, 1, 2)
    try:
        yield
    finally:
        gc.set_threshold(*usual)

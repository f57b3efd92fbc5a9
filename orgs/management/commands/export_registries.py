"""export_registries --organization SLUG [--format csv|json|yaml] [--output FILE]"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.services.bulk import exporting


class Command(Base):
    help = "Export an organization's registry entries, without secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=list(exporting.WRITERS), default="csv")
        parser.add_argument("--output", metavar="FILE", help="else standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = self.organization(options["organization"], otherwise=2)
        pieces = exporting.export(exporting.entries_of(organization), options["format"])
        if not options["output"]:
            for piece in pieces:
                self.stdout.write(piece, ending="")
            return
        path = Path(options["output"])
        try:
            write_privately(path, pieces)
        except OSError as error:
            self.fail(f"{path} can't be written: {error.strerror}.", 2)


def write_privately(path: Path, pieces: Iterable[str]) -> None:
    """Write a file that only its owner can read, and that is there whole or as it was."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # is 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise

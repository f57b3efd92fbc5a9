"""export_issuer DIRECTORY"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from orgs.management.base import Command as Base
from orgs.services.identity import documents, issuer


class Command(Base):
    help = "Write what clouds fetch of this server as an issuer, for where they can reach it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", metavar="DIRECTORY", help="made where it isn't there")

    def handle(self, *args: Any, **options: Any) -> None:
        url = issuer.required()
        directory = Path(options["directory"])
        # The keys last: who reads them finds the other document beside them.
        written = {
            documents.DISCOVERY: documents.discovery(),
            documents.KEYS: documents.key_set(),
        }
        for name, document in written.items():
            path = directory / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_for_all(path, f"{json.dumps(document, indent=2)}\n")
            except OSError as error:
                self.fail(f"{path} can't be written: {error.strerror}.", 2)
            self.stdout.write(f"{path}: put it at {url}/{name}")
        self.stdout.write(
            "Serve both as application/json, over https, to everyone, without a redirect, and "
            f"with Cache-Control: max-age={documents.MAX_AGE}."
        )
        if not issuer.published_elsewhere():
            self.stdout.write("This server publishes them there itself, if clouds reach it.")


def write_for_all(path: Path, text: str) -> None:
    """Write a file that everyone may read, and that is there whole or as it was."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise

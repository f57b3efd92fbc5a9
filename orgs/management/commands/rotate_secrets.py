"""rotate_secrets"""

from typing import Any

from orgs.management.base import Command as Base
from orgs.services.bulk import rotation


class Command(Base):
    help = "Re-seal every secret under the first key in FERNET_KEYS, while the system serves."

    def handle(self, *args: Any, **options: Any) -> None:
        report = rotation.rotate_secrets()
        self.stdout.write(f"{report.resealed} sealed values are under the first key now.")
        if report.unreadable:
            self.fail(
                "These can't be opened with any key and were left as they are:\n"
                + "\n".join(f"  {row}" for row in report.unreadable)
                + "\nPut the former key back last in FERNET_KEYS, or enter their secrets again."
            )

"""change_issuer [--yes]"""

from typing import Any

from django.core.management.base import CommandParser

from orgs.management.trusting import Command as Base
from orgs.management.trusting import add_yes_argument
from orgs.services.identity import issuer


class Command(Base):
    help = "Sign with the issuer that OIDC_ISSUER or BASE_URL gives from now on."

    def add_arguments(self, parser: CommandParser) -> None:
        add_yes_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        url = issuer.to_change()
        if not options["yes"]:
            self.confirm(
                f"The issuer was {issuer.stored() or 'never used'}, and is to be {url}. These "
                "entries get no new login before their cloud trusts it:"
            )
        former = issuer.change()
        self.stdout.write(f"The issuer is {url} now; it was {former or 'never used'}.")
        self.list_trusting("Set up the trust of these entries anew, and verify them:")

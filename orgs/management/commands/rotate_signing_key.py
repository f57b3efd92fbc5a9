"""rotate_signing_key [--compromised] [--yes]"""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from orgs.management.trusting import Command as Base
from orgs.management.trusting import add_yes_argument
from orgs.services.identity import issuer, keys


class Command(Base):
    help = "Make the key that this server signs with next, published a day before it does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--compromised",
            action="store_true",
            help="drop all keys at once, and sign with a new one",
        )
        add_yes_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        issuer.required()
        if options["compromised"]:
            self.drop(options["yes"])
            return
        made = keys.rotate()
        self.stdout.write(
            f"The key {made.kid} is published from now on, and signs from "
            f"{made.signs_from:%Y-%m-%d %H:%M} UTC on."
        )
        if issuer.published_elsewhere():
            self.stdout.write(
                "Run export_issuer now and put what it writes at "
                f"{issuer.configured()}: the key doesn't sign before it's there."
            )

    def drop(self, agreed: bool) -> None:
        if not agreed:
            self.confirm(
                "All signing keys are dropped. Until clouds have fetched the new one, logins of "
                "these entries may be refused:"
            )
        kids, made = keys.drop_all()
        self.stdout.write(f"Dropped: {', '.join(kids) or 'none'}. The key is {made.kid} now.")
        barred = [*dict.fromkeys([*settings.OIDC_DROPPED_KEYS, *kids])]
        if barred:
            self.stdout.write(
                "Set this for all servers, so that a backup that is put back revives none:\n"
                f"OIDC_DROPPED_KEYS={','.join(barred)}"
            )
        if issuer.published_elsewhere():
            self.stdout.write(
                "Run export_issuer now and put what it writes at "
                f"{issuer.configured()}: nothing is signed before the key is there."
            )
        self.list_trusting(
            "Clouds fetch the new key by themselves, some only after minutes. Verify these "
            "entries; where a cloud was given the keys as a file (Google's --jwk-json-path), "
            "give it the new ones:"
        )

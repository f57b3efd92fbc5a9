"""demo_data [--admin EMAIL] | --remove"""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import reverse
from tqdm import tqdm

from orgs.management.base import Command as Base
from orgs.models import User
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.demo import organization as demo

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


class Command(Base):
    help = (
        "Make an organization to look around in, marked as made up: entries in every state, a "
        "month of events. Or take it away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        one = parser.add_mutually_exclusive_group()
        one.add_argument("--remove", action="store_true", help="take it away, its events too")
        one.add_argument("--admin", metavar="EMAIL", help="its org admin; else the first superuser")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["remove"]:
                self.remove()
            else:
                self.make(self.admin(options["admin"]))
        except KeyboardInterrupt:
            self.fail("Interrupted. Nothing was changed.", INTERRUPTED)

    def admin(self, email: str | None) -> User:
        """Somebody who is there already: no account is made for a demo."""
        if email is None:
            found = demo.first_superuser()
            if found is None:
                self.fail("There is no superuser. Say who is to look around: --admin EMAIL.")
            return found
        return self.person(email)

    def make(self, admin: User) -> None:
        with tqdm(desc="Making", total=demo.STEPS, disable=None, leave=False) as bar:
            made = demo.demo_create(admin=admin, actor=COMMAND_LINE, on_step=bar.update)
        address = settings.BASE_URL + reverse("organization", args=[made.slug])
        self.stdout.write(f"{made.name} is made: {made}. {admin.email} is its org admin.")
        self.stdout.write(f"Look around at {address}")
        self.stdout.write(
            "Nothing in it is real: no registry is asked, and no worker gets a login. "
            "`demo_data --remove` takes it away."
        )

    def remove(self) -> None:
        gone = demo.demo_remove(actor=COMMAND_LINE)
        if gone is None:
            self.fail("There is no demo organization. `demo_data` makes one.")
        self.stdout.write(f"{gone.name} ({gone.slug}) is removed: {gone}.")
        self.stdout.write(
            "In the audit log stays that it was removed, and what people did with their accounts."
        )

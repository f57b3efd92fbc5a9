"""migrate, by one process at a time: servers that start together don't get in each other's way."""

from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

from orgs.management.alone import alone


class Command(Migrate):
    def handle(self, *args: Any, **options: Any) -> None:
        with alone(connections[options["database"]]):
            super().handle(*args, **options)

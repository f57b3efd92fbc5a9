"""prune_audit_log"""

from typing import Any

from django.conf import settings
from django.db import connection

from orgs.management.base import Command as Base
from orgs.services.audit import log, repeats
from orgs.services.bulk import drafts, long_work
from orgs.services.runs import going


class Command(Base):
    help = "Drop audit events older than AUDIT_RETENTION_DAYS, while the system serves."

    def handle(self, *args: Any, **options: Any) -> None:
        # Previews that nobody came back to; the web drops them when the next one is looked at.
        drafts.expire()
        long_work.expire_files()
        going.prune()
        while repeats.write_due() >= repeats.BEFORE_READING:
            pass
        dropped = log.prune()
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            # What was deleted is overwritten, but stands in the log of changes until that ends.
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.stdout.write(
            f"{dropped} events older than {settings.AUDIT_RETENTION_DAYS} days are dropped."
        )

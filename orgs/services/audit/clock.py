"""The database's clock: the only one that stored times are taken from and judged by.

The servers' own clocks differ, from each other and from it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection
from django.db.models.functions import Now

from orgs.models import Organization


def database_now() -> datetime:
    """Its time, aware UTC; within a transaction, on PostgreSQL, that of its beginning."""
    compiler = Organization.objects.all().query.get_compiler(connection=connection)
    sql, params = compiler.compile(Now())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", params)
        (told,) = cursor.fetchone()
    found = told if isinstance(told, datetime) else datetime.fromisoformat(told)
    return found if found.tzinfo else found.replace(tzinfo=UTC)

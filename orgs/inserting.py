"""New rows by each database's shortest way.

What Django does around saving a model (it resolves each value as an expression) takes many
times as long as the database does; where a login or an import waits for it, these are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.expressions import DatabaseDefault


def values_of(row: models.Model) -> tuple[str, list[Any]]:
    """The statement that inserts the row, and its values; what the database can fill in is
    left to it."""
    database = connections[DEFAULT_DB_ALIAS]
    statement, columns = _one(type(row))
    return statement, [c.get_db_prep_save(getattr(row, c.attname), database) for c in columns]


def insert_many(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model, of which the same columns are set, inside a transaction.

    Keys that the database makes aren't read back; nor are signals sent.
    """
    if not rows:
        return
    database, columns = connections[DEFAULT_DB_ALIAS], _columns_of(rows[0])
    prepared = (_prepared(column, rows, database) for column in columns)
    values = list(zip(*prepared, strict=True))
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            from psycopg2.extras import execute_values  # type: ignore[import-untyped]

            several = _insert(type(rows[0]), columns, "%s")
            execute_values(cursor, several, values, page_size=len(rows))
        else:
            cursor.executemany(_insert(type(rows[0]), columns), values)
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@cache
def _one(model: type[models.Model]) -> tuple[str, list[Any]]:
    filled = models.AutoField, models.BigAutoField
    found = [c for c in model._meta.concrete_fields if not isinstance(c, filled)]
    columns = [c for c in found if not c.has_db_default()]
    return _insert(model, columns), columns


def _columns_of(row: models.Model) -> list[Any]:
    """Those that are set."""
    return [
        column
        for column in row._meta.concrete_fields
        if not isinstance(value := getattr(row, column.attname), DatabaseDefault)
        and not (value is None and column.primary_key)
    ]


def _prepared(column: Any, rows: Sequence[models.Model], database: Any) -> Iterator[Any]:
    """A column's values as the database takes them; most columns have one in all rows."""
    name, last, prepared = column.attname, object(), None
    for row in rows:
        value = getattr(row, name)
        if value is not last:
            last, prepared = value, column.get_db_prep_save(value, database)
        yield prepared


def _insert(model: type[models.Model], columns: Sequence[Any], values: str = "") -> str:
    quoted = connections[DEFAULT_DB_ALIAS].ops.quote_name
    names = ", ".join(quoted(str(column.column)) for column in columns)
    values = values or f"({', '.join(['%s'] * len(columns))})"
    return " ".join(("INSERT INTO", quoted(model._meta.db_table), f"({names}) VALUES", values))

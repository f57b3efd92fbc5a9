"""New rows by each database's shortest way.

What Django does around saving a model (it resolves each value as an expression) takes many
times as long as the database does; where a login or an import waits for it, these are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from functools import cache, partial
from io import StringIO
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.expressions import DatabaseDefault
from psycopg2 import extras  # type: ignore[import-untyped]

# What COPY would take for the end of a value or a row, or for an escape.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


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
    copied = database.vendor == "postgresql"
    prepare = _copied if copied else _prepared
    values = zip(*(_each(c, rows, partial(prepare, c, database)) for c in columns), strict=True)
    with database.cursor() as cursor:
        if copied:
            _copy(cursor, type(rows[0]), columns, values)
        else:
            cursor.executemany(_insert(type(rows[0]), columns), list(values))
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def _copy(
    cursor: Any, model: type[models.Model], columns: Sequence[Any], rows: Iterable[Iterable[str]]
) -> None:
    """By COPY: PostgreSQL needn't read a statement of a hundred kilobytes."""
    text = StringIO("".join(["\t".join(row) + "\n" for row in rows]))

    def copy(sql: str, *_: Any) -> None:
        with cursor.db.wrap_database_errors:
            cursor.cursor.copy_expert(sql, text)

    # Timed, waited for without the turn, and where queries are noted noted, as Django's own are.
    statement = f"COPY {_table(model, columns)} FROM STDIN"
    with cursor.debug_sql(statement) if cursor.db.queries_logged else nullcontext():
        cursor._execute_with_wrappers(statement, None, many=False, executor=copy)


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


def _each(
    column: Any, rows: Sequence[models.Model], prepare: Callable[[Any], Any]
) -> Iterator[Any]:
    """A column's values as the database takes them; most columns have one in all rows."""
    name, last, prepared = column.attname, object(), None
    for row in rows:
        value = getattr(row, name)
        if value is not last:
            last, prepared = value, prepare(value)
        yield prepared


def _prepared(column: Any, database: Any, value: Any) -> Any:
    return column.get_db_prep_save(value, database)


def _copied(column: Any, database: Any, value: Any) -> str:
    """The value as COPY's text format has it."""
    value = _prepared(column, database, value)
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int | UUID | date):
        return str(value)
    # Of psycopg2: what it would quote for a statement.
    if isinstance(value, extras.Json):
        return value.dumps(value.adapted).translate(_ESCAPES)
    if isinstance(value, extras.Inet):
        return value.addr
    return rf"\\x{value.adapted.hex()}"


def _insert(model: type[models.Model], columns: Sequence[Any]) -> str:
    values = ", ".join(["%s"] * len(columns))
    return " ".join(("INSERT INTO", _table(model, columns), "VALUES", f"({values})"))


def _table(model: type[models.Model], columns: Sequence[Any]) -> str:
    quoted = connections[DEFAULT_DB_ALIAS].ops.quote_name
    names = ", ".join(quoted(str(column.column)) for column in columns)
    return f"{quoted(model._meta.db_table)} ({names})"

"""The one read of a login that is at hand, as a statement of each database.

PostgreSQL plans eight tables for 2 ms and reads them in a tenth of one, so there the
statement is prepared once a connection, with a plan that goes by indexes: made while the
tables are small, it has to hold when they have grown. A pooler between us may give the
connection's next statement to another server, which knows no prepared ones: then the plain
statement serves.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID
from weakref import WeakSet

from django.db import DatabaseError, connection
from django.db.models.functions import Now

from orgs.models import Organization

# One row for each candidate pattern and login of its entry (one for all hosts, the host's
# own or the repository's: a type has one of them); none where the token, the project or the
# pattern is missing, the token was revoked, the project archived or the organization made up.
# In its places: `fast.Row`.
#
# Each step finds its rows before the next one looks: left to choose the order, a planner
# whose statistics are of other times (of an empty table, say) reads one table for each row
# of another, and that took seconds.
_STANDING = """
WITH asker AS MATERIALIZED (
SELECT * FROM orgs_workertoken WHERE key_id = {key_id} AND revoked_at IS NULL
), place AS MATERIALIZED (
SELECT t.name, t.digest, t.expires_at, t.last_used_at, t.any_environment, own.slug,
       t.organization_id, o.name AS organization, p.name AS project, named.id AS named_id,
       COALESCE(named.id, t.environment_id) AS environment_id
  FROM asker t
  JOIN orgs_organization o ON o.id = t.organization_id AND NOT o.made_up
  JOIN orgs_project p ON p.id = {project} AND p.organization_id = t.organization_id
   AND p.archived_at IS NULL
  LEFT JOIN orgs_environment own ON own.id = t.environment_id
  LEFT JOIN orgs_environment named
    ON named.organization_id = t.organization_id AND named.slug = {environment}
   AND t.any_environment
), candidate AS MATERIALIZED (
SELECT * FROM orgs_matchpattern m
 WHERE m.organization_id = (SELECT organization_id FROM place) AND m.enabled
   AND m.host {hosts} AND m.prefix {prefixes}
), entry AS MATERIALIZED (
SELECT * FROM orgs_registryentry WHERE id {candidates} AND enabled
), cached AS MATERIALIZED (
SELECT * FROM orgs_cachedlogin WHERE entry_id {candidates} AND scope IN ('', {host}, {name})
)
SELECT e.id, t.name, t.digest, t.expires_at, t.last_used_at, t.any_environment, t.slug,
       t.organization_id, t.organization, t.project, t.named_id,
       m.normalized, m.text, m.environment_id,
       e.registry_type, e.credentials_version, e.last_used_at, e.config, e.secrets,
       c.credentials_version, c.expires_at, c.refresh_after, c.next_try_at, c.login, c.scope,
       {now}
  FROM place t
  JOIN candidate m ON m.environment_id IS NULL OR m.environment_id = t.environment_id
  JOIN entry e ON e.id = m.entry_id
  LEFT JOIN cached c ON c.entry_id = e.id
"""
_EXECUTE = "EXECUTE standing (%s, %s, %s, %s, %s, %s, %s)"
# Once, with what nobody has: its plan is kept from then on. The settings end with it.
_PREPARE = """
BEGIN;
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL enable_seqscan = off;
PREPARE standing (text, uuid, text, text[], text[], text, text) AS {statement};
EXECUTE standing (NULL, NULL, NULL, '{{}}', '{{}}', NULL, NULL);
COMMIT;
SET plan_cache_mode = force_generic_plan
"""

_prepared: WeakSet[Any] = WeakSet()  # the driver's connections
_poolers: set[str] = set()  # databases behind one that keeps no prepared statements


def read(
    key_id: str,
    project: UUID,
    environment: str,
    hosts: list[str],
    prefixes: list[str],
    host: str,
    path: str,
) -> list[tuple[Any, ...]]:
    """The rows; raises `DatabaseError`. Outside a transaction the connection isn't kept then:
    who asks again does so over another."""
    scopes = (host, f"{host}/{path}")
    try:
        if connection.vendor == "postgresql":
            return _on_postgresql([key_id, project, environment, hosts, prefixes, *scopes])
        given = [key_id, project.hex, environment, *hosts, *prefixes, *scopes]
        return _plain(given, hosts, prefixes)
    except DatabaseError:
        if not connection.in_atomic_block:
            connection.close()
        raise


def _on_postgresql(given: list[Any]) -> list[tuple[Any, ...]]:
    """Prepared statements and transactions of others don't go together."""
    if connection.in_atomic_block or connection.alias in _poolers:
        return _rows(_arrays(), given)
    try:
        _prepare()
        return _rows(_EXECUTE, given)
    except DatabaseError as error:
        if getattr(error.__cause__, "pgcode", None) not in _OF_POOLERS:
            raise
        _poolers.add(connection.alias)
        return _rows(_arrays(), given)


def _prepare() -> None:
    with connection.cursor() as cursor:
        if cursor.connection in _prepared:
            return
        try:
            cursor.execute(_PREPARE.format(statement=_numbered()))
        except DatabaseError:
            cursor.execute("ROLLBACK")
            raise
        _prepared.add(cursor.connection)


# It isn't there, or another's is there already.
_OF_POOLERS = frozenset({"26000", "42P05"})


def _plain(given: list[Any], hosts: list[str], prefixes: list[str]) -> list[tuple[Any, ...]]:
    return _rows(_listed(len(hosts), len(prefixes)), given)


def _rows(sql: str, given: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()


@cache
def _arrays() -> str:
    places = {
        "project": "%s::uuid",
        "environment": "%s",
        "key_id": "%s",
        "host": "%s",
        "name": "%s",
    }
    return _statement(hosts="= ANY (%s)", prefixes="= ANY (%s)", **places)


@cache
def _numbered() -> str:
    places = {"key_id": "$1", "project": "$2", "environment": "$3", "host": "$6", "name": "$7"}
    return _statement(hosts="= ANY ($4)", prefixes="= ANY ($5)", **places)


@cache
def _listed(hosts: int, prefixes: int) -> str:
    def some(count: int) -> str:
        return f"IN ({', '.join(['%s'] * count)})"

    places = dict.fromkeys(("project", "environment", "key_id", "host", "name"), "%s")
    return _statement(hosts=some(hosts), prefixes=some(prefixes), **places)


def _statement(**places: str) -> str:
    found = "SELECT entry_id FROM candidate"
    # As an array it is looked up; a subquery would be one more table to put in some order.
    among = f"= ANY (ARRAY({found}))" if connection.vendor == "postgresql" else f"IN ({found})"
    compiler = Organization.objects.all().query.get_compiler(connection=connection)
    now, _ = compiler.compile(Now())
    return _STANDING.format(now=now, candidates=among, **places)

"""The fast path: what nearly every worker gets nearly always, by one read and one write.

`standing` is one SELECT of all that decides (token, organization, project, environment,
candidate patterns, entry, cached login and the database's clock); `given` is one INSERT of
the event, in autocommit. Nothing is remembered between requests but pure values: parsed
patterns and an opened login, by its ciphertext.

It gives logins and refuses nobody. Whatever isn't the plain case (no such token, nothing
that serves, a login that is due, a use that has to be noted) is None here, and its asker
goes the whole way (`issuing`), which tells why. So it can be left out, and only time is lost.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from orgs import sealed
from orgs.models import Organization, Project, RegistryEntry, cached_login_context
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern, index_keys
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import DockerLogin, InstanceRoleLogin
from orgs.seen import metrics
from orgs.services.audit import events
from orgs.services.entries.validating import secrets_of
from orgs.services.tenancy import tokens

from . import issuing, minting, reading
from .resolve import order


@dataclass(frozen=True)
class _Row:
    """What `reading` gives, in its order; times are aware UTC."""

    entry_id: UUID
    token_name: str
    digest: str
    token_ends: datetime | None
    token_used: datetime | None
    any_environment: bool
    own_slug: str | None
    organization_id: int
    organization: str
    project: str
    named_id: int | None
    pattern: str
    text: str
    environment_id: int | None
    registry_type: str
    version: int
    entry_used: datetime | None
    config: str
    secrets: bytes | None = field(repr=False)
    login_version: int | None
    login_ends: datetime | None
    refresh_after: datetime | None
    next_try_at: datetime | None
    login: bytes | None = field(repr=False)
    scope: str | None
    now: datetime


@dataclass(frozen=True)
class Standing:
    """A login that may be given, once it has its event."""

    answer: issuing.Answer
    key_id: str
    _event: dict[str, Any]

    def given(self) -> issuing.Answer:
        """Commit the event, and only then give the login; raises `Failed`
        audit_unavailable."""
        kind = self.answer.served.registry_type
        try:
            events.insert(events.event(**self._event))
        except DatabaseError:
            metrics.login(kind, "audit_unavailable", cached=True)
            raise issuing.no_event() from None
        metrics.login(kind, "ok", cached=True)
        return self.answer


def standing(
    *, token: str, project: UUID, image: ImageReference, environment: str, address: str | None
) -> Standing | None:
    """The cached login for an image, as the database has it now; None where it isn't the
    plain case.

    `token` is its text, `environment` a slug or "", `address` where the request came from.
    """
    if (key_id := tokens.worker_key_id(token)) is None:
        return None
    try:
        hosts, prefixes = index_keys(image)
        found = reading.read(key_id, project, environment, hosts, prefixes, image.host, image.path)
    except DatabaseError:
        return None
    rows = [_row(*columns) for columns in found]
    if not rows or not hmac.compare_digest(rows[0].digest, tokens.digest(token)):
        return None
    row = _most_specific(rows, image)
    if row is None or not _plain(row, environment):
        return None
    login = _login([one for one in rows if _same(one, row)], image)
    if login is None:
        return None
    return _standing(row, login, key_id, project, image, environment, address)


def _row(entry_id: object, *values: object) -> _Row:
    """Of what either database gives: SQLite has ids and its clock as text, and no zones."""
    *between, now = values
    clock = now if isinstance(now, datetime) else datetime.fromisoformat(str(now))
    return _Row(UUID(str(entry_id)), *map(_value, between), now=_value(clock))  # type: ignore[arg-type, misc]


def _value(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return bytes(value) if isinstance(value, memoryview) else value


def _most_specific(rows: list[_Row], image: ImageReference) -> _Row | None:
    found = [
        (order(pattern, row.environment_id, row.pattern), row)
        for row in rows
        if (pattern := _parsed(row.pattern)) is not None and pattern.matches(image)
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


@lru_cache(maxsize=10_000)
def _parsed(text: str) -> MatchPattern | None:
    try:
        return MatchPattern.parse(text)
    except Refused:
        return None


def _plain(row: _Row, environment: str) -> bool:
    """Whether nothing but the event has to be written, and nothing to be told."""
    return (
        (row.token_ends is None or row.now < row.token_ends)
        and (not environment or environment == row.own_slug or row.named_id is not None)
        and issuing.used_lately(row.token_used, row.now)
        and issuing.used_lately(row.entry_used, row.now)
    )


def _same(one: _Row, other: _Row) -> bool:
    """Whether both are of one pattern, each with another login of its entry."""
    return (one.entry_id, one.pattern, one.environment_id) == (
        other.entry_id,
        other.pattern,
        other.environment_id,
    )


def _login(rows: list[_Row], image: ImageReference) -> DockerLogin | InstanceRoleLogin | None:
    """Of the rows of one pattern, by its entry's type."""
    row = rows[0]
    kind = BY_SLUG.get(row.registry_type)
    try:
        if kind is None:
            return None
        config = {k: v for k, v in json.loads(row.config).items() if isinstance(v, str)}
        if kind.host_refusal(config, image.host):
            return None
        if kind.minted:
            wanted = kind.login_scope(config, image.host, image.path)
            return next((_cached(one) for one in rows if one.scope == wanted), None)
        entry = RegistryEntry(pk=row.entry_id)
        entry.secrets = sealed.Sealed(row.secrets) if row.secrets else None
        secrets = secrets_of(entry)
        if kind.unusable(config, secrets):
            return None
        authority = MatchPattern.parse(row.pattern).authority
        return issuing.unminted_login(kind, config, secrets, authority, image)
    except (Failed, sealed.Unreadable, ValueError, AttributeError):
        return None  # the whole way tells, and marks the entry


def _cached(row: _Row) -> DockerLogin | None:
    at_hand = row.login_version == row.version and minting.at_hand(row.login_ends, row.now)
    if row.login is None or row.scope is None or not at_hand:
        return None
    if minting.due(row.refresh_after, row.next_try_at, row.now):
        return None
    username, password = _revealed(row.login, cached_login_context(row.entry_id, row.scope))
    return DockerLogin(username, password, row.login_ends)


@lru_cache(maxsize=2_000)
def _revealed(ciphertext: bytes, context: str) -> tuple[str, str]:
    username, password = json.loads(sealed.Sealed(ciphertext).reveal(context))
    return username, password


def _standing(
    row: _Row,
    login: DockerLogin | InstanceRoleLogin,
    key_id: str,
    project: UUID,
    image: ImageReference,
    environment: str,
    address: str | None,
) -> Standing:
    served = issuing.ServedBy(row.entry_id, row.registry_type, row.text)
    actor = tokens.worker_actor(row.token_name, key_id, address)
    event = issuing.issued(
        actor=actor,
        organization=Organization(pk=row.organization_id, name=row.organization),
        project=Project(pk=project, name=row.project),
        image=image,
        environment=environment or row.own_slug or "",
        served=served,
    )
    return Standing(issuing.answer(login, image, served, row.now), key_id, event)

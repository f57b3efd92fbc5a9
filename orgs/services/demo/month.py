"""A month of logins as they might have been: the same for the same end and seed.

Pure but for the tables' classes: nothing is read and nothing is written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orgs.models import AuditEvent, Organization, Project, RegistryEntry, WorkerToken
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit import events
from orgs.services.audit.events import Actor
from orgs.services.logins import resolve
from orgs.services.tenancy import tokens

from .entries import DENIED, FRANKFURT, IRELAND, NORTH, OTHER, SYDNEY, UNREADABLE, US

DAYS = 30
SEED = 16
WEEKEND = 0.3  # of a weekday's
GROWTH = 1.6  # the last day's, of the first's
NOWHERE = "999999999999.dkr.ecr.us-east-1.amazonaws.com/report"


@dataclass(frozen=True)
class Pulls:
    """What a project pulls again and again: about so many a weekday, from so many days ago
    until so many. `entry` serves it, "" for none; `refused` is why it gets no login."""

    project: str
    repository: str
    token: str
    entry: str
    daily: float
    since: int = DAYS
    until: int = 0
    refused: Failed | None = None
    environment: str = ""


PULLS = (
    Pulls("image-classifier", f"{US}/vision/train", "GPU workers", "verified", 22,
          environment="gpu"),
    Pulls("image-classifier", f"{US}/vision/serve", "Batch workers", "verified", 9),
    Pulls("image-classifier", f"{OTHER}/vision/base", "GPU workers", "unreachable", 4,
          environment="gpu"),
    Pulls("churn-model", f"{US}/churn/train", "Batch workers", "verified", 13),
    Pulls("churn-model", f"{FRANKFURT}/features/daily", "Batch workers", "unreadable", 3, until=2),
    Pulls("churn-model", f"{FRANKFURT}/features/daily", "Batch workers", "unreadable", 3, since=2,
          refused=UNREADABLE),
    Pulls("speech-to-text", f"{NORTH}/speech/train", "GPU workers", "reported", 8,
          environment="gpu"),
    Pulls("speech-to-text", f"{SYDNEY}/team/segment", "Batch workers", "failing", 5, until=6),
    Pulls("speech-to-text", f"{SYDNEY}/team/segment", "Batch workers", "failing", 4, since=6,
          refused=DENIED),
    Pulls("old-experiments", f"{US}/attic/notebook", "Batch workers", "verified", 2, until=12),
    Pulls("churn-model", f"{IRELAND}/serving/churn", "Batch workers", "silent", 2.5),
    Pulls("churn-model", NOWHERE, "Batch workers", "", 1.4),
)  # fmt: skip
ADDRESSES = {"GPU workers": "203.0.113.17", "Batch workers": "203.0.113.40"}


@dataclass(frozen=True)
class Cast:
    """Who and what the events are of, by name."""

    organization: Organization
    projects: Mapping[str, Project]
    entries: Mapping[str, RegistryEntry]
    tokens: Mapping[str, WorkerToken]


def days(cast: Cast, now: datetime, seed: int = SEED) -> Iterator[list[AuditEvent]]:
    """The events of each of the 30 days that end `now`, the oldest first; none is written."""
    chance = random.Random(seed)  # noqa: S311
    # Of a cast member, what is the same in all of its events.
    actors = {name: actor_of(token) for name, token in cast.tokens.items()}
    for ago in range(DAYS - 1, -1, -1):
        end = now - timedelta(days=ago)
        found = [
            _event(pulls, cast, actors[pulls.token], at, version)
            for pulls in PULLS
            for at, version in _of_a_day(pulls, ago, end, chance)
        ]
        yield sorted(found, key=lambda event: event.at)


def actor_of(token: WorkerToken) -> Actor:
    """As whom the audit log names its workers."""
    return tokens.worker_actor(token.name, token.key_id, ADDRESSES.get(token.name))


def _of_a_day(
    pulls: Pulls, ago: int, end: datetime, chance: random.Random
) -> Iterator[tuple[datetime, int]]:
    """When it was pulled within the day that ends then, and which version."""
    often = pulls.daily * (1 + (GROWTH - 1) * (1 - ago / DAYS)) * chance.uniform(0.7, 1.3)
    if end.weekday() >= 5:
        often *= WEEKEND
    count = int(often) + (chance.random() < often % 1)
    moments = [end - timedelta(seconds=chance.uniform(60, 86_400)) for _ in range(count)]
    if pulls.until <= ago < pulls.since:
        yield from ((at, 1 + (DAYS - ago) // 8) for at in moments)


def _event(pulls: Pulls, cast: Cast, actor: Actor, at: datetime, version: int) -> AuditEvent:
    image = ImageReference.parse(f"{pulls.repository}:v{version}")
    entry = cast.entries[pulls.entry] if pulls.entry else None
    error = pulls.refused
    if entry is None:
        error = resolve.no_match(cast.organization, image)
    told = {
        "pattern": entry.pattern_texts[0] if entry else "",
        "environment": pulls.environment,
        "reason": error.told if error else "",
    }
    event = events.event(
        actor=actor,
        action="login.refused" if error else "login.issued",
        organization=cast.organization,
        project=cast.projects[pulls.project],
        subject_id=entry.pk if entry else "",
        subject=str(image),
        code=error.code if error else "ok",
        properties={name: text for name, text in told.items() if text},
    )
    event.at = at
    return event

"""Many entries at once, each through the door; what is refused holds up no other.

In batches, so that no transaction holds an organization's entries for long, and within a
time: whoever asked waits for the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from orgs.models import Organization, RegistryEntry
from orgs.registries.problems import Refused
from orgs.services.audit.events import Actor

from . import door

BATCH = 100
# Seconds after which no further batch begins: a request has to end before a proxy gives up.
WITHIN = 25.0


@dataclass
class Outcome:
    """What became of them: how many were `done`, were so already (`same`), were deleted
    meanwhile (`gone`), weren't begun in time (`left`); a sentence for each `refused`."""

    done: int = 0
    same: int = 0
    gone: int = 0
    left: int = 0
    refused: list[str] = field(default_factory=list)


def entries_set_enabled(
    *, organization: Organization, keys: Sequence[UUID], actor: Actor, enabled: bool
) -> Outcome:
    """Each in a transaction of its own, in the order given; those that aren't the
    organization's are gone."""
    outcome = Outcome()
    for batch in _in_time(keys, outcome):
        found = {one.pk: one for one in RegistryEntry.objects.of(organization).filter(pk__in=batch)}
        outcome.gone += len(batch) - len(found)
        for entry in (found[key] for key in batch if key in found):
            _switch(entry, actor, outcome, enabled=enabled)
    return outcome


def _switch(entry: RegistryEntry, actor: Actor, outcome: Outcome, *, enabled: bool) -> None:
    try:
        # What the entry was when it was read may be over: the door knows, behind its lock.
        _, switched = door.entry_switch(entry=entry, actor=actor, enabled=enabled)
        outcome.done += switched
        outcome.same += not switched
    except Refused as error:
        outcome.refused.append(f"{entry}: {error}")
    except RegistryEntry.DoesNotExist:
        outcome.gone += 1


def entries_delete(*, organization: Organization, keys: Sequence[UUID], actor: Actor) -> Outcome:
    """A batch in a transaction; those that aren't the organization's are gone."""
    outcome = Outcome()
    for batch in _in_time(keys, outcome):
        deleted = door.entries_delete(organization=organization, keys=batch, actor=actor)
        outcome.done += deleted
        outcome.gone += len(batch) - deleted
    return outcome


def _in_time(keys: Sequence[UUID], outcome: Outcome) -> Iterator[Sequence[UUID]]:
    """Batches, until the time is over; the rest are `left`."""
    end = time.monotonic() + WITHIN
    for start in range(0, len(keys), BATCH):
        if time.monotonic() > end:
            outcome.left += len(keys) - start
            return
        yield keys[start : start + BATCH]

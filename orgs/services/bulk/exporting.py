"""An organization's entries as a file that import reads back: everything but secrets."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from orgs.models import Organization, RegistryEntry
from orgs.registries.pasted import texts
from orgs.registries.places import Places
from orgs.services.audit.cells import escape
from orgs.services.entries.attention import OLD, is_ending
from orgs.services.entries.validating import given_config

from .files.columns import (
    ENABLED,
    ENVIRONMENTS,
    NOTE,
    PATTERN,
    SECRET_END,
    TOLD,
    TYPE,
    columns,
)

log = logging.getLogger(__name__)
_NOT_TOLD = "Not exported, since it is broken; tell staff of"
_UNTELLABLE: dict[str, Any] = {
    "type": "",
    "image_patterns": [],
    "configuration": {"version": "1"},
    "environments": [],
    "enabled": False,
    "note": "",
    **dict.fromkeys(TOLD, ""),
}

# Exports under way at once in this process: each keeps a thread for as long as its reader
# takes to receive it.
PLACES = Places(6, "Other exports are under way at the moment.", most={"export": 2})


class Held:
    """Pieces of an answer, and a place that is held until they're closed or all are told."""

    def __init__(self, pieces: Iterable[str], owner: Hashable) -> None:
        """Takes the place; raises `Full`. `owner` is whose export it is."""
        self._held = ExitStack()
        self._pieces = pieces
        self._held.enter_context(PLACES.taken(owner, export=owner))

    def __iter__(self) -> Iterator[str]:
        with self._held:
            yield from self._pieces

    def close(self) -> None:
        self._held.close()

    # Where an answer is never begun, nobody closes it.
    __del__ = close


def export(entries: Iterable[RegistryEntry], format: str) -> Iterator[str]:
    """The file's text, piece by piece; `format` is one of `WRITERS`."""
    return WRITERS[format](entries)


def entries_of(organization: Organization) -> Iterator[RegistryEntry]:
    """All of them, oldest first, not held in memory. Enabled ones come before disabled
    ones, so that import doesn't take the one for the other where both have a pattern."""
    found = RegistryEntry.objects.filter(organization=organization).defer("secrets")
    found = found.prefetch_related("patterns__environment")
    return found.order_by("-enabled", "created_at", "id").iterator(chunk_size=500)


def _csv(entries: Iterable[RegistryEntry]) -> Iterator[str]:
    """CSV (RFC 4180); its cells are safe to open in a spreadsheet, see `escape`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def taken() -> str:
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    header = (*columns(), *TOLD)
    writer.writerow(header)
    yield taken()
    for entry in _documents(entries):
        cells = {
            **entry["configuration"],
            PATTERN: _in_a_cell(entry["image_patterns"]),
            TYPE: entry["type"],
            ENVIRONMENTS: " ".join(entry["environments"]),
            ENABLED: "true" if entry["enabled"] else "false",
            NOTE: entry["note"],
            SECRET_END: entry.get(SECRET_END, ""),
            **{name: entry[name] for name in TOLD},
        }
        writer.writerow([escape(str(cells.get(column, ""))) for column in header])
        yield taken()


def _json(entries: Iterable[RegistryEntry]) -> Iterator[str]:
    yield "["
    between = "\n"
    for entry in _documents(entries):
        yield between + json.dumps(entry, ensure_ascii=False, indent=2)
        between = ",\n"
    yield "\n]\n"


def _yaml(entries: Iterable[RegistryEntry]) -> Iterator[str]:
    import yaml

    empty = True
    for entry in _documents(entries):
        empty = False
        yield yaml.safe_dump([entry], allow_unicode=True, sort_keys=False)
    if empty:
        yield "[]\n"


def _documents(entries: Iterable[RegistryEntry]) -> Iterator[dict[str, Any]]:
    """Each entry; one that can't be told keeps its place, and ends nobody's export."""
    for entry in entries:
        try:
            yield _document(entry)
        except Exception as error:
            # Its text might quote what it was working on; its kind is enough.
            log.error("exporting entry %s: %s", entry.pk, type(error).__name__)
            yield _UNTELLABLE | {"type": entry.registry_type, "note": f"{_NOT_TOLD} {entry.pk}"}


def _in_a_cell(patterns: list[str]) -> str:
    """With blanks between them, or each on a line where they would read as something else."""
    cell = " ".join(patterns)
    return cell if texts(cell) == patterns else "\n".join(patterns)


def _document(entry: RegistryEntry) -> dict[str, Any]:
    """The API's form, and what is told beside it."""
    return {
        "type": entry.registry_type,
        "image_patterns": entry.pattern_texts,
        "configuration": {"version": "1", **given_config(entry)},
        "environments": [environment.slug for environment in entry.environments],
        "enabled": entry.enabled,
        "note": entry.note,
        **({SECRET_END: end.isoformat()} if (end := entry.secret_expires_on) else {}),
        **_told(entry),
    }


def _told(entry: RegistryEntry) -> dict[str, Any]:
    """What isn't set but came to be: `TOLD`, which import ignores. Times are UTC."""
    age = timezone.now() - entry.secrets_changed_at if entry.secrets_changed_at else None
    unused = timezone.now() - (entry.last_used_at or entry.created_at)
    attention = [
        *(["secret ends within 30 days"] if is_ending(entry, timezone.now().date()) else []),
        *(["key over 90 days"] if age and age > OLD else []),
        *(["unused for 90 days"] if unused > OLD else []),
    ]
    values = (
        entry.status,
        _utc(entry.last_used_at),
        _utc(entry.secrets_changed_at),
        age.days if age else "",
        "; ".join(attention),
    )
    return dict(zip(TOLD, values, strict=True))


def _utc(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


WRITERS: dict[str, Callable[[Iterable[RegistryEntry]], Iterator[str]]] = {
    "csv": _csv,
    "json": _json,
    "yaml": _yaml,
}

"""An entry's history, for people: who, when, and what from what to what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries import codes
from orgs.registries.catalogue import BY_SLUG, fields_named

NEWEST = 20
_DONE = {
    "entry.created": "Added",
    "entry.updated": "Changed",
    "entry.enabled": "Enabled",
    "entry.disabled": "Disabled",
}
_CHECK = "entry.verified"
_LABELS = {
    "type": "Registry type",
    "patterns": "Match pattern",
    "secret": "Secret",
}


@dataclass(frozen=True)
class Change:
    """One value before and after; a secret's are None, and only said to have changed."""

    label: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Happening:
    event: AuditEvent
    done: str
    changes: list[Change]


def history_of(entry: RegistryEntry, *, checks: bool = False) -> list[Happening]:
    """The newest changes of the entry itself, with `checks` also its verifications; logins
    aren't among them."""
    actions = {**_DONE, _CHECK: ""} if checks else _DONE
    events = AuditEvent.objects.filter(
        organization_id=entry.organization_id,
        subject_id=str(entry.pk),
        action__in=actions,
    ).order_by("-at", "-pk")[:NEWEST]
    return [
        Happening(
            event,
            _checked(event) if event.action == _CHECK else _DONE[event.action],
            list(changes_of(event, entry.registry_type)),
        )
        for event in events
    ]


def _checked(event: AuditEvent) -> str:
    """By its result, which is a code of the table or of a former version's."""
    if event.code == "ok":
        return "Checked: it works."
    says = codes.of(event.code).says if codes.known(event.code) else ""
    return f"Checked: {event.code}. {says}".strip()


def changes_of(event: AuditEvent, slug: str = "") -> Iterator[Change]:
    """What a changed entry's event tells, value by value; `slug` is the entry's type, where
    that is known."""
    if event.action in {"entry.enabled", "entry.disabled"}:
        return
    told = event.properties.get("changes")
    if isinstance(told, dict) and isinstance(kinds := told.get("type"), list) and kinds:
        slug = str(kinds[-1])
    for name, pair in told.items() if isinstance(told, dict) else ():
        if not (isinstance(pair, list) and len(pair) == 2):
            yield Change(_label(name))
            continue
        before, after = pair
        if isinstance(before, dict) and isinstance(after, dict):
            for key in {**before, **after}:
                if before.get(key) != after.get(key):
                    label = _label_of_field(key, slug)
                    yield Change(label, _said(key, before), _said(key, after))
        else:
            yield Change(_label(name), _said(name, {name: before}), _said(name, {name: after}))


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _label_of_field(name: str, slug: str) -> str:
    declared = fields_named(name, slug)
    return declared[0].label if declared else _label(name)


def _said(name: str, values: dict[str, Any]) -> str:
    """A value in words; what is empty is “–”."""
    value = values.get(name)
    if name == "type" and isinstance(value, str) and value in BY_SLUG:
        return BY_SLUG[value].label
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("all" if name == "environments" else "–")
    if name == "environments" and not value:
        return "all"
    return str(value or "–")

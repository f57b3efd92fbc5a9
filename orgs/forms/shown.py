"""What an edit form began with: it goes with the page and comes back, so that only what
a person changed is written, and what others changed meanwhile is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.dateparse import parse_datetime

from orgs.models import RegistryEntry
from orgs.registries import ends
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.types import Field

# What all types have; the names of the form's fields.
COMMON = {
    "patterns": "Match pattern",
    "registry_type": "Registry type",
    "environments": "Environments",
    "note": "Note",
    ends.NAME: ends.LABEL,
    "enabled": "Enabled",
}


@dataclass(frozen=True)
class Shown:
    """An entry's values by the names of its form's fields, and when they were so.

    `secret_at` is when its secret was set; "" for none.
    """

    updated_at: str
    secret_at: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, entry: RegistryEntry) -> Shown:
        values = {
            "patterns": entry.pattern_texts,
            "registry_type": entry.registry_type,
            "environments": sorted(environment.pk for environment in entry.environments),
            "note": entry.note,
            ends.NAME: entry.secret_expires_on.isoformat() if entry.secret_expires_on else "",
            "enabled": entry.enabled,
        }
        secret_at = entry.secrets_changed_at.isoformat() if entry.secrets_changed_at else ""
        return cls(entry.updated_at.isoformat(), secret_at, {**entry.config, **values})

    @property
    def made_from(self) -> datetime | None:
        """The `updated_at` of what was shown, None where it isn't one."""
        try:
            return parse_datetime(self.updated_at)
        except ValueError:
            return None

    def differing(self, other: Shown) -> list[str]:
        """The names of the values that are others there."""
        names = dict.fromkeys([*COMMON, *self.values, *other.values])
        return [n for n in names if self.values.get(n, "") != other.values.get(n, "")]

    def written(self) -> str:
        told = {"updated_at": self.updated_at, "secret_at": self.secret_at, **self.values}
        return json.dumps(told)

    @classmethod
    def read(cls, text: str) -> Shown | None:
        """What `written` wrote; None for anything else."""
        try:
            told = json.loads(text)
            updated_at, secret_at = told.pop("updated_at"), told.pop("secret_at")
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
            return None
        if not (isinstance(updated_at, str) and isinstance(secret_at, str)):
            return None
        return cls(updated_at, secret_at, told)


class ShownField(forms.CharField):
    """Hidden; its value is a `Shown`, or None where it didn't come back as it went."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(required=False, max_length=500_000)

    def to_python(self, value: Any) -> Any:
        return Shown.read(str(value or "")[: self.max_length])

    def validate(self, value: Any) -> None:
        """Without one, the change is made from what stands now."""

    def run_validators(self, value: Any) -> None:
        pass

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


def as_sent(value: Any) -> Any:
    """A value as a field of one line gives it back where nobody touched it: browsers drop
    line breaks, Django the blanks at its ends. Scripts write notes of several lines."""
    return re.sub(r"[\r\n]", "", value).strip() if isinstance(value, str) else value


def labels(entry: RegistryEntry, was: Shown, names: list[str]) -> list[str]:
    """What people call these, and the secret's name where it was replaced since."""
    kind = BY_SLUG.get(entry.registry_type)
    declared: tuple[Field, ...] = (*kind.fields, *kind.derived) if kind else ()
    words = COMMON | {f.name: f.label for f in declared}
    found = [words[name] for name in names if name in words]
    if was.secret_at != Shown.of(entry).secret_at:
        found += [f.label for f in declared if f.secret]
    return found

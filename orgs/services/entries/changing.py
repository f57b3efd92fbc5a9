"""A change of an entry: what someone gives of it, merged with what stands by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orgs.models import Environment, RegistryEntry
from orgs.registries.problems import Problem, Refused

from .validating import EntrySpec


class ChangedMeanwhile(Refused):
    """The entry isn't any more what the change was made from."""

    def __init__(self) -> None:
        what = "The entry was changed meanwhile, so nothing was written."
        fix = "Read it again, and change what it is now."
        super().__init__(Problem("changed_meanwhile", what, fix))


@dataclass(frozen=True)
class EntryChange:
    """What someone wants changed; None is left as it stands.

    Of `config` the values of fields that aren't named stay too, unless it is `whole` or
    the type changes; a secret that is left out or blank stays under rule 6. `made_for` is
    the type whose fields these are, where they name one. `made_from` is the `updated_at`
    of what the change was made from, None where it is for whatever stands.
    """

    registry_type: str | None = None
    patterns: Sequence[str] | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    environments: Sequence[Environment] | None = None
    enabled: bool | None = None
    note: str | None = None
    secret_expires_on: str | None = None
    whole: bool = False
    made_for: str = ""
    made_from: datetime | None = None

    def on(self, entry: RegistryEntry) -> EntrySpec:
        """What the entry is to be; raises `ChangedMeanwhile` where the fields are those of
        another type than it has by now."""
        slug = entry.registry_type if self.registry_type is None else self.registry_type
        if self.made_for not in {"", slug}:
            raise ChangedMeanwhile
        kept = {} if self.whole or slug != entry.registry_type else entry.config
        return EntrySpec(
            registry_type=slug,
            patterns=entry.pattern_texts if self.patterns is None else self.patterns,
            config={**kept, **self.config},
            secrets=dict(self.secrets),
            environments=entry.environments if self.environments is None else self.environments,
            enabled=entry.enabled if self.enabled is None else self.enabled,
            note=entry.note if self.note is None else self.note,
            secret_expires_on=self.secret_expires_on,
        )

    def is_late(self, entry: RegistryEntry) -> bool:
        """Whether the entry was changed after what this was made from."""
        return self.made_from is not None and self.made_from != entry.updated_at

"""What to attach at the provider so that an entry's logins may pull."""

from __future__ import annotations

from orgs.models import RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.types import AccessPolicy

from .validating import patterns_of


def policy_of(entry: RegistryEntry, *, private: bool) -> AccessPolicy | None:
    """The policy for the entry's patterns; None where its type has none. Who doesn't see
    `private` parts gets one without them."""
    kind = BY_SLUG.get(entry.registry_type)
    patterns = patterns_of(entry)
    if kind is None or not patterns:
        return None
    hidden = {f.name for f in kind.told_fields if f.hidden_from_members and not private}
    config = {name: value for name, value in entry.config.items() if name not in hidden}
    return kind.policy(config, patterns)

"""What to attach at the provider so that an entry's logins may pull."""

from __future__ import annotations

from orgs.models import RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.types import AccessPolicy

from .validating import patterns_of


def policy_of(entry: RegistryEntry) -> AccessPolicy | None:
    """The policy for the entry's patterns; None where its type has none."""
    kind = BY_SLUG.get(entry.registry_type)
    patterns = patterns_of(entry)
    return kind.policy(entry.config, patterns) if kind and patterns else None

"""What to attach at the provider so that an entry's logins may pull."""

from __future__ import annotations

from dataclasses import replace

from orgs.models import RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.types import AccessPolicy, SetUp
from orgs.services.identity import issuer, signing
from orgs.services.upstream import own_identity

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


def set_up_of(entry: RegistryEntry) -> SetUp | None:
    """What the other side needs to trust the entry; None where nothing has to."""
    kind = BY_SLUG.get(entry.registry_type)
    patterns = patterns_of(entry)
    if kind is None or not kind.awaits_trust or not patterns:
        return None
    if kind.trusts_issuer and not issuer.works():
        return None  # nothing to be filled in that would be right later
    who = signing.who(entry)
    if kind.uses_own_identity:
        who = replace(who, own_account=own_identity.account())
    return kind.set_up(entry.config, patterns, who)


# What fails because of an entry's other side, so that setting it up anew mends it.
MENDED_BY_SET_UP = frozenset({"identity_refused", "external_id_not_enforced"})


def assigned_to(entry: RegistryEntry) -> dict[str, str]:
    """What the server made for the entry, which stands beside its config and is taken from
    nobody."""
    kind = BY_SLUG.get(entry.registry_type)
    return kind.assigned(signing.who(entry)) if kind is not None and kind.awaits_trust else {}


def trusted_by(entry: RegistryEntry) -> dict[str, str] | None:
    """What the cloud of an entry without a key is told: issuer, audience and subject; None where
    it's told nothing, or this server is no issuer."""
    kind = BY_SLUG.get(entry.registry_type)
    if kind is None or not kind.trusts_issuer or not issuer.works():
        return None
    who = signing.who(entry)
    audience = kind.audience(entry.config, patterns_of(entry))
    return {"issuer": who.issuer, "audience": audience, "subject": who.subject}

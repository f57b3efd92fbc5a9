"""A new key is tried before it replaces one that works."""

from __future__ import annotations

from orgs.models import RegistryEntry
from orgs.registries.problems import Failed
from orgs.services.upstream import calls

from .validating import EntrySpec, validate


def replacement_error(entry: RegistryEntry, spec: EntrySpec) -> Failed | None:
    """Why the spec's new secret shouldn't replace the entry's; None where it may.

    Also where there is nothing to try: no new secret, another type than before, one
    whose logins aren't minted here, or a disabled entry, which nobody relies on.
    Raises `Refused` for what saving would refuse as well.
    """
    if not (entry.enabled and spec.enabled and entry.registry_type == spec.registry_type):
        return None
    valid = validate(spec, entry)
    if not (valid.type.minted and valid.secrets):
        return None
    host = valid.type.example_host(valid.patterns[0])
    try:
        with calls.looking(entry):
            calls.try_credentials(valid.type, valid.config, valid.secrets, host)
    except Failed as error:
        return error
    return None

"""A new key is tried before it replaces one that works."""

from __future__ import annotations

from orgs.models import RegistryEntry
from orgs.registries.problems import LoginError
from orgs.services.upstream.calls import looking, try_credentials

from .validating import Draft, check


def replacement_error(entry: RegistryEntry, draft: Draft) -> LoginError | None:
    """Why the draft's new secret shouldn't replace the entry's; None where it may.

    Also where there is nothing to try: no new secret, another type than before, one
    whose logins aren't minted here, or a disabled entry, which nobody relies on.
    Raises `Refused` for what saving would refuse as well.
    """
    if not (entry.enabled and draft.enabled and entry.registry_type == draft.registry_type):
        return None
    checked = check(draft, entry)
    if not (checked.type.minted and checked.secrets):
        return None
    host = checked.type.example_host(checked.patterns[0])
    try:
        with looking(entry):
            try_credentials(checked.type, checked.config, checked.secrets, host)
    except LoginError as error:
        return error
    return None

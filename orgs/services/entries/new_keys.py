"""A new key is tried before it replaces one (docs/decisions/0016)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from orgs.models import RegistryEntry
from orgs.registries.places import Full
from orgs.registries.private import whole
from orgs.registries.problems import Failed, Problem, Refused
from orgs.services.upstream import calls

from .validating import ValidSpec


class KeyFailed(Refused):
    """The new key was tried and isn't taken; the problem has the code of what happened.
    `in_full` is the same for who sees private parts."""

    def __init__(self, failed: Failed, secret: str) -> None:
        happened = "failed" if failed.refused else "couldn't be tested"
        so = f"The new key {happened}, so the old one stays in use."
        super().__init__(Problem(failed.code, f"{so} {failed.what}", failed.fix, secret))
        self.in_full = replace(self.problem, what=f"{so} {whole(failed.told)}")


# Seconds that a script's key waits for a place; one that works is tried in less than one.
WAIT = 3.0


@dataclass(frozen=True)
class Proof:
    """That these credentials may replace others: they were tried, or taken untried."""

    config: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    # Whatever they are: someone wants to «Use it anyway».
    anyway: bool = False

    def covers(self, valid: ValidSpec) -> bool:
        return self.anyway or (self.config, self.secrets) == (valid.config, valid.secrets)


ANYWAY = Proof({}, {}, anyway=True)
NOTHING_TO_TRY = Proof({}, {})


def is_needed(
    entry: RegistryEntry, valid: ValidSpec, changes: Container[str], *, attended: bool
) -> bool:
    """Whether a proof is: a new key replaces another of an enabled entry of the same type,
    whose logins are minted here. Unattended, only one that is known to work. None of a
    made-up organization's.
    """
    known_to_work = entry.status == RegistryEntry.Status.VERIFIED or _has_worked(entry)
    return (
        bool(valid.type.minted and valid.secrets)
        and ("secret" in changes or "configuration" in changes)
        and "type" not in changes
        and entry.enabled
        and "enabled" not in changes
        and (attended or known_to_work)
        and not entry.organization.made_up
    )


def _has_worked(entry: RegistryEntry) -> bool:
    """Whether a login was given since its secret was set, and nothing is known against it:
    a change of something else forgets that the entry was verified, not that it worked."""
    bad = {RegistryEntry.Status.FAILING, RegistryEntry.Status.UNREADABLE}
    used, new = entry.last_used_at, entry.secrets_changed_at
    return entry.status not in bad and used is not None and new is not None and used >= new


def proof(entry: RegistryEntry, valid: ValidSpec, *, attended: bool) -> Proof:
    """Try the new credentials; raises `KeyFailed`, unattended only where they are refused,
    and `places.Full` where it's our own places that are taken.

    Blocking while the registry is asked (`calls.NEW_KEY_SECONDS`), so never inside a
    transaction: there it raises AssertionError.
    """
    host = valid.type.example_host(valid.patterns[0])
    try:
        with calls.looking(entry, wait=0.0 if attended else WAIT):
            calls.try_credentials(valid.type, valid.config, valid.secrets, host, entry)
    except Failed as failed:
        # A script has nobody to ask, and its retries would wait on the cloud's outage.
        # But that too many are tried at once is no outage: it would let any key pass.
        if isinstance(failed, Full) and not attended:
            raise
        if attended or failed.refused:
            raise KeyFailed(failed, valid.type.secret_fields[0].name) from failed
    return Proof(valid.config, valid.secrets)

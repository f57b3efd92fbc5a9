"""What is known of an entry: the newest real result, from a verification or a worker's login.

Org admins get one mail when an entry turns failing and one when it works again; what
they were told last stands in the row, so that no two processes tell it twice. An entry
that goes up and down is told of once in half an hour, not at each turn.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import RegistryEntry
from orgs.registries import codes
from orgs.registries.catalogue import TYPES
from orgs.registries.problems import Failed

from . import notices

Status = RegistryEntry.Status
BROKEN = (Status.FAILING, Status.UNREADABLE)
# What a cloud says to an entry whose other side doesn't stand yet.
UNTRUSTED = frozenset({"identity_refused", "access_denied"})
# What a list can be narrowed to: each state that it shows.
STATUSES = {
    **{str(status.value): str(status.label) for status in Status},
    "on-workers": "Checked on workers",
    "disabled": "Disabled",
}
MAILED_EVERY = timedelta(minutes=30)
# Found out by verifying only, after the login: that a login was obtained proves nothing
# against it.
BEYOND_LOGIN = frozenset(codes.of_kind(codes.Kind.BEYOND_LOGIN)) | frozenset(
    code for code, row in codes.table().items() if row.verifying
)


def of_status(shown: str) -> Q:
    """Entries in one of `STATUSES`, as lists show it: one that is disabled is nothing else."""
    on_workers = [kind.slug for kind in TYPES if kind.completed_on_worker]
    if shown == "disabled":
        return Q(enabled=False)
    if shown == "on-workers":
        return Q(enabled=True, status=Status.UNVERIFIED, registry_type__in=on_workers)
    wanted = Q(enabled=True, status=shown)
    return wanted & ~Q(status=Status.UNVERIFIED, registry_type__in=on_workers)


def status_mark(
    entry: RegistryEntry,
    status: RegistryEntry.Status,
    error: Failed | None = None,
    *,
    reporter: str = "",
    login_only: bool = False,
    login_works: bool = False,
) -> None:
    """Store a result, unless the entry's credentials changed since it was read.

    `reporter` is the worker token that told it. `login_only` where nothing was seen
    but a login: then what verifying found out beyond it stays. `login_works` where a login
    was obtained, whatever else failed.
    """
    rows = RegistryEntry.objects.filter(pk=entry.pk, credentials_version=entry.credentials_version)
    if login_only:
        rows = rows.exclude(status_code__in=BEYOND_LOGIN).exclude(status=Status.UNREACHABLE)
    result = {
        "status": status,
        "status_at": Now(),
        "status_code": error.code if error else "",
        "status_detail": f"{error.told} {error.fix}".strip() if error else "",
        "status_reporter": reporter,
    }
    if error is not None and error.code in UNTRUSTED:
        waits = result | {"status": Status.WAITING}
        if rows.filter(status=Status.WAITING).update(**waits):
            return  # nothing stopped: it never worked
    if status == Status.WAITING:  # which it isn't any more
        status = result["status"] = Status.FAILING
    if status == Status.UNVERIFIED:
        rows = rows.exclude(status=Status.WAITING)
    if status in BROKEN and error is not None:
        told, untold = error, rows.filter(failure_told_at=None, enabled=True)
        # Or the last mail is from a clock that has been set right since.
        long_ago = Q(failure_mailed_at__lte=Now() - MAILED_EVERY) | Q(failure_mailed_at__gt=Now())
        untold = untold.filter(long_ago | Q(failure_mailed_at=None))
        if untold.update(failure_told_at=Now(), failure_mailed_at=Now(), **result):
            transaction.on_commit(lambda: notices.entry_stopped(entry, told), robust=True)
            return
    elif (login_works or status == Status.VERIFIED) and rows.exclude(failure_told_at=None).update(
        failure_told_at=None, **result
    ):
        reached = status == Status.VERIFIED
        transaction.on_commit(lambda: notices.entry_works(entry, reached=reached), robust=True)
        return
    rows.update(**result)

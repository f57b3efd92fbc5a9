"""What a server process does for each kind of run: put together here, as addresses are in
`urls`, since the kinds live in different rooms and none of them knows the others."""

from __future__ import annotations

from orgs.models import Run
from orgs.services.bulk import long_work
from orgs.services.entries import switching
from orgs.services.verification import many

WORK = {
    Run.Kind.VERIFY.value: many.work,
    Run.Kind.IMPORT.value: long_work.work_import,
    Run.Kind.EXPORT.value: long_work.work_export,
    Run.Kind.ENABLE.value: switching.work,
    Run.Kind.DISABLE.value: switching.work,
}

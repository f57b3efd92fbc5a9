"""What is done for each kind of run."""

from __future__ import annotations

from orgs.models import Run
from orgs.services.bulk import long_work

from . import many

WORK = {
    Run.Kind.VERIFY.value: many.work,
    Run.Kind.IMPORT.value: long_work.work_import,
    Run.Kind.EXPORT.value: long_work.work_export,
}

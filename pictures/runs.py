"""Long work in the pictures: one run that is over, and one that goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from orgs.models import Organization, RegistryEntry, Run, RunRow
from orgs.services.audit.events import Actor
from orgs.services.runs import going
from orgs.services.runs.going import Subject

if TYPE_CHECKING:
    from .cast import Cast

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def fill(cast: Cast, acme: Organization) -> None:
    """One that is over, and one that goes on: whoever shows it has to `keep_going`."""
    alice, nina = (Actor.person(cast.people[who], None) for who in ("alice", "nina"))
    waiting = RegistryEntry.Status.WAITING
    entries = list(RegistryEntry.objects.of(acme).exclude(status=waiting))
    told: dict[str, tuple[RunRow.Result, str, str]] = {
        "failing": (RunRow.Result.FAILED, "access_denied", "AWS accepts the key, but its user may "
                    "not call ecr:GetAuthorizationToken. Attach the policy to that user."),
        "unreachable": (RunRow.Result.UNREACHABLE, "registry_unreachable",
                        "{host} didn't answer in time. Try again in a few seconds."),
        "unreadable": (RunRow.Result.FAILED, "entry_unusable", "The stored secret can't be opened "
                       "with this server's keys. Enter the secret again."),
    }  # fmt: skip
    subjects = [Subject(entry.pk, str(entry)) for entry in entries]
    kind = Run.Kind.VERIFY
    run, _ = going.begin(organization=acme, kind=kind, actor=alice, subjects=subjects)
    over = going.take(run)
    assert over is not None
    for row, entry in zip(over.rows_left(), entries, strict=True):
        off = (RunRow.Result.NOT_CHECKED, "disabled", f"{entry} is disabled. Enable it.")
        well = (RunRow.Result.OK, "", "")
        result, code, said = told.get(entry.status, well) if entry.enabled else off
        over.row_done(row, result, code, said.format(host=str(entry).partition("/")[0]))
    over.end(Run.State.DONE)
    umbrella = Organization.objects.get(slug="umbrella")
    many = [Subject(uuid4(), f"{HOST}/team-{n:02}/*") for n in range(50)]
    on, _ = going.begin(organization=umbrella, kind=kind, actor=nina, subjects=many)
    cast.held = going.take(on)
    assert cast.held is not None
    key = "AWS doesn't know the key, or it's inactive. Check it under the IAM user's Security "
    wrong = (RunRow.Result.FAILED, "invalid_key", f"{key}credentials, then enter it again.")
    for n, row in enumerate(cast.held.rows_left()[:12]):
        cast.held.row_done(row, *(wrong if n % 3 == 1 else (RunRow.Result.OK, "", "")))
    cast.arguments["run_id"] = run.pk
    cast.named["run-going"] = on.pk


def keep_going(cast: Cast) -> None:
    """Hold what goes on for as long as this process lives, so that no server does it."""
    held = cast.held
    assert held is not None

    def beat() -> None:
        while True:
            held.beat()
            time.sleep(going.BEAT)

    threading.Thread(target=beat, daemon=True).start()

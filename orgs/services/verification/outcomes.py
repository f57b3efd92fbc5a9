"""How completing an instance role went, as workers report it.

Only a worker can see whether its own role gets in; what it says is shown on the
entry as «reported by a worker».
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from orgs.models import Project, RegistryEntry, WorkerToken
from orgs.registries.images import ImageReference
from orgs.registries.problems import Failed
from orgs.services.audit import repeats
from orgs.services.audit.clock import database_now
from orgs.services.audit.events import Actor, event
from orgs.services.entries.status import status_mark
from orgs.services.entries.validating import type_of

WRITTEN_EVERY = timedelta(minutes=5)
OK = "ok"


# What happened and what to do, {role} to be filled in (UX «Errors» 12 and 13).
_SENTENCES = {
    "role_not_attached": (
        "A worker's instance doesn't have the role {role}.",
        "Attach {role} to the workers, or put the role they have into the entry's Role name.",
    ),
    "not_on_ec2": (
        "A worker can't reach EC2 instance metadata, so it can't use the role {role}.",
        "Use an EC2 worker (in containers: metadata hop limit 2), or an entry with IAM "
        "credentials for this environment.",
    ),
    "metadata_hop_limit": (
        "Instance metadata doesn't answer a worker's container, so it can't use the role "
        "{role}: the instance's hop limit is 1.",
        "Set the instance's metadata hop limit (HttpPutResponseHopLimit) to 2.",
    ),
    "role_access_denied": (
        "The role {role} may not call ecr:GetAuthorizationToken.",
        "Attach the policy valohai-ecr-policy to the role, and run the job again.",
    ),
}
CODES = (OK, *_SENTENCES)


def outcome_report(
    *,
    entry: RegistryEntry,
    token: WorkerToken,
    project: Project,
    image: ImageReference,
    code: str,
    actor: Actor,
) -> None:
    """Store one of `CODES` on an entry that workers complete, with its event.

    A fleet that reports the same again and again writes the entry once in five minutes,
    and an event once a minute.
    """
    with transaction.atomic():
        told = event(
            actor=actor,
            action="login.reported",
            organization=entry.organization,
            project=project,
            subject_id=entry.pk,
            subject=str(image),
            code=code,
        )
        repeated = (token.key_id, entry.pk, project.pk, told.subject, code)
        repeats.record(("reported", *repeated), [told])
        same = entry.status_code == ("" if code == OK else code) and entry.status_reporter
        if same and entry.status_at and abs(database_now() - entry.status_at) < WRITTEN_EVERY:
            return
        error = _error(code, type_of(entry).worker_role(entry.config))
        status = RegistryEntry.Status.FAILING if error else RegistryEntry.Status.VERIFIED
        status_mark(entry, status, error, reporter=token.name)


def _error(code: str, role: str) -> Failed | None:
    if code == OK:
        return None
    what, fix = (sentence.format(role=role) for sentence in _SENTENCES[code])
    return Failed(code, what, fix)

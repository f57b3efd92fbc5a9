"""What workers ask: the login for an image; and what they tell: how a role's went."""

from __future__ import annotations

from typing import Annotated, Any, cast

from django.http import HttpRequest
from ninja import Query, Router, Status

from orgs import access
from orgs.models import WorkerToken
from orgs.registries import codes
from orgs.registries.images import ImageReference, Server
from orgs.registries.problems import Failed
from orgs.services.logins import formats, issuing
from orgs.services.logins.resolve import Wanted
from orgs.services.tenancy import tokens
from orgs.services.verification import outcomes

from . import schemas
from .authentication import WorkerTokenAuth, worker_actor
from .errors import ANYWHERE

router = Router(auth=WorkerTokenAuth(), tags=["Docker login"])

_IMAGE = ("invalid_request", "invalid_image")
_PROJECT = ("personal_project", "project_not_found")
# Of the types in the catalogue too.
_login_codes = dict.fromkeys(
    (
        *_IMAGE,
        *(code for code, row in codes.table().items() if row.event in {codes.LOGIN, codes.ISSUED}),
        *("busy", "audit_unavailable", *ANYWHERE),
    )
)
_outcome_codes = (*_IMAGE, *_PROJECT, "entry_not_found", "audit_unavailable", *ANYWHERE)


@router.post(
    "/",
    operation_id="docker_login",
    summary="The Docker login for an image",
    **schemas.answers({200: schemas.LoginAnswer}, schemas.LoginRefused, *_login_codes),
)
def docker_login(
    request: HttpRequest,
    asked: schemas.Asked,
    format: Annotated[schemas.Format, Query(description="What the answer is for.")] = "json",
) -> dict[str, Any]:
    """Either `image` or `server`. Ask again at `refresh_at`, or after `Retry-After`."""
    token = cast(WorkerToken, request.auth)  # type: ignore[attr-defined]
    slug = (asked.environment or "").strip()
    wanted = _wanted(asked)
    actor = worker_actor(request, token)
    try:
        project, environment = access.project_for_worker(token, asked.project, slug)
    except Failed as error:
        issuing.record_refusal(
            actor=actor, organization=token.organization, image=wanted, error=error
        )
        raise

    def recheck() -> None:
        access.project_for_worker(tokens.still_valid(token), asked.project, slug)

    answer = issuing.login_for(
        project=project, image=wanted, environment=environment, actor=actor, recheck=recheck
    )
    return formats.FORMATS[format](answer)


def _wanted(asked: schemas.Asked) -> Wanted:
    """What is asked for; raises `InvalidImage`, and `Failed` invalid_request unless it's
    exactly one of image and server."""
    image, server = (asked.image or "").strip(), (asked.server or "").strip()
    if bool(image) == bool(server):
        raise Failed(
            "invalid_request", "Give either image or server.", "The image where it is known."
        )
    return ImageReference.parse(image) if image else Server.parse(server)


@router.post(
    "/outcome/",
    operation_id="docker_login_outcome",
    summary="How completing an instance role went",
    **schemas.answers({204: None}, schemas.LoginRefused, *_outcome_codes),
)
def docker_login_outcome(request: HttpRequest, reported: schemas.Reported) -> Status:
    """What the worker's helper tells by itself, shown on the entry as *reported by a worker*."""
    token = cast(WorkerToken, request.auth)  # type: ignore[attr-defined]
    image = ImageReference.parse(reported.image.strip())
    project, _ = access.project_for_worker(token, reported.project)
    outcomes.outcome_report(
        entry=access.role_entry_for_worker(token, reported.entry),
        token=token,
        project=project,
        image=image,
        code=reported.code,
        actor=worker_actor(request, token),
    )
    return Status(204, None)

"""Who am I: what a token is, and which organizations it reaches."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from orgs import access
from orgs.models import WorkerToken
from orgs.services.tenancy.tokens import AnyToken

from . import schemas
from .authentication import AnyTokenAuth
from .errors import ANYWHERE

router = Router(auth=AnyTokenAuth(), tags=["Who am I"])


@router.get(
    "/",
    operation_id="me",
    summary="What a token is",
    **schemas.answers({200: schemas.Me}, schemas.Error, *ANYWHERE),
)
def me(request: HttpRequest) -> dict[str, Any]:
    """Of a person, the organizations that the token reaches; of a worker, the one it is of."""
    token: AnyToken = request.auth  # type: ignore[attr-defined]
    if isinstance(token, WorkerToken):
        kind, name, mine = "worker", token.name, [(token.organization, "worker")]
    else:
        kind, name = "user", token.user.name
        mine = [(m.organization, m.role) for m in access.memberships_for_token(token)]
    organizations = [
        {"id": found.pk, "slug": found.slug, "name": found.name, "role": role}
        for found, role in mine
    ]
    return {"kind": kind, "name": name, "organizations": organizations}

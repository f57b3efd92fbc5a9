"""`Authorization: Token <token>`, for workers or for people; sessions count for nothing."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security import APIKeyHeader

from orgs.models import ApiToken, Organization, WorkerToken
from orgs.proxies import source_address
from orgs.registries.problems import Failed
from orgs.seen import metrics
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens

from . import limits


class AnyTokenAuth(APIKeyHeader):
    """Lets in whoever brings a token that stands; the token becomes `request.auth`.

    Raises `Failed` not_authenticated, token_expired, token_revoked, rate_limited.
    """

    param_name = "Authorization"
    openapi_description = "any token: a worker's (`vrw_…`) or a person's (`vra_…`)"
    kinds: tuple[type[tokens.AnyToken], ...] = (WorkerToken, ApiToken)
    wanted = "a token"

    def authenticate(self, request: HttpRequest, key: str | None) -> tokens.AnyToken:
        scheme, _, text = (key or "").partition(" ")
        address = source_address(request)
        try:
            token = tokens.authenticate(text.strip() if scheme.lower() == "token" else "")
        except Failed as refused:
            metrics.refused_attempts.labels(refused.code).inc()
            if isinstance(refused, tokens.TokenEnded):
                request.auth = refused.token  # type: ignore[attr-defined]
                _limit(refused.token)
                tokens.use_refused(refused, address)
            raise
        request.auth = token  # type: ignore[attr-defined]  # refusals below know whom they help
        _limit(token)
        if not isinstance(token, self.kinds):
            raise Failed(
                "not_authenticated",
                f"This address needs {self.wanted}, and “{token.name}” is another kind.",
                f"Send {self.wanted}.",
            )
        tokens.mark_used(token, address)
        return token


class WorkerTokenAuth(AnyTokenAuth):
    kinds = (WorkerToken,)
    wanted = "a worker token (vrw_…)"
    openapi_description = "a worker token (`vrw_…`)"


class ApiTokenAuth(AnyTokenAuth):
    kinds = (ApiToken,)
    wanted = "a person's API token (vra_…)"
    openapi_description = "an org admin's API token (`vra_…`)"


def _limit(token: tokens.AnyToken) -> None:
    seconds = limits.buckets.wait(token.key_id)
    if seconds:
        metrics.refused_attempts.labels("rate_limited").inc()
        raise Failed(
            "rate_limited",
            f"The token “{token.name}” asks too often.",
            "Keep a login until its refresh_at.",
            retry_after=seconds,
        )


def worker_actor(request: HttpRequest, token: WorkerToken) -> Actor:
    return tokens.worker_actor(token.name, token.key_id, source_address(request))


def person_actor(request: HttpRequest, token: ApiToken, organization: Organization) -> Actor:
    address = source_address(request)
    return Actor.person(token.user, organization, address, token.begins_with)

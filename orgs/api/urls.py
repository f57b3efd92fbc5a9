"""The API as a whole: its parts, its errors, its OpenAPI document."""

from typing import NoReturn

from django.http import Http404, HttpRequest
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI

from . import docker_login, me
from .errors import answer_errors

api = NinjaAPI(
    title="Valohai Registries",
    version="0",
    description="Docker logins for workers. `Authorization: Token <token>` on every request; "
    "every error is JSON with a sentence (`detail`) and a stable `code`.",
    urls_namespace="api",
    docs_url=None,
    docs_decorator=require_safe,
)
answer_errors(api)
api.add_router("/docker-login", docker_login.router)
api.add_router("/me", me.router)


@csrf_exempt
def nowhere(request: HttpRequest, rest: str) -> NoReturn:
    """All else, so that Django doesn't redirect a POST to the address with a slash."""
    raise Http404


app_name = "api"
urlpatterns = [*api.urls[0], path("<path:rest>", nowhere, name="nowhere")]

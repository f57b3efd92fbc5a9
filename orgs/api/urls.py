"""The API as a whole: its parts, its errors, its OpenAPI document."""

from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI

from . import credentials, docker_login, me
from .bodies import BoundedParser
from .errors import answer, answer_errors

api = NinjaAPI(
    title="Valohai Registries",
    version="0",
    description="Docker logins for workers, and registry entries for scripts. Send "
    "`Authorization: Token <token>` with every request; every error is JSON with sentences "
    "for people and a stable `code`.",
    urls_namespace="api",
    docs_url=None,
    parser=BoundedParser(),
    docs_decorator=require_safe,
    # Their order is that of the page for people.
    openapi_extra={
        "tags": [
            {"name": "Registry credentials", "description": "Entries, managed by org admins."},
            {"name": "Docker login", "description": "What workers ask and tell."},
            {"name": "Who am I", "description": "What a token is, and what it reaches."},
        ]
    },
)
answer_errors(api)
api.add_router("/docker-login", docker_login.router)
api.add_router("/me", me.router)
api.add_router("/registry-credentials", credentials.router)


@csrf_exempt
def nowhere(request: HttpRequest) -> JsonResponse:
    """All else. It has an address of its own, so that Django neither draws a page for
    it nor redirects a POST to the address with a slash."""
    return answer(request, "not_found", "There is nothing here; see /api/v0/openapi.json.")


_operations = [found for found in api.urls[0] if isinstance(found, URLPattern)]


app_name = "api"
urlpatterns = [
    path("", nowhere, name="nowhere"),
    *_operations,
    re_path(r"^", nowhere, name="nowhere"),
]

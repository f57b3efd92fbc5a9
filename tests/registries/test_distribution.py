"""The registry API as a login sees it: real and scripted registries, kind ones and hostile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from orgs.registries.docker import DockerRegistry
from orgs.registries.types import DockerLogin
from tests.conftest import CANARY
from tests.support.internet import HOST, Internet, Request, Script, reply
from tests.support.registry import Registry
from tests.support.scripted import (
    ASKS_BASIC,
    SIGN_IN,
    api,
    behind_basic,
    behind_token,
    failure,
    found,
    says,
    token_service,
)

pytestmark = pytest.mark.once


# -- A real one ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[Registry]:
    with Registry(HOST) as registry:
        registry.push("my-ml-image", "v1.0")
        registry.allow("robot", CANARY)
        yield registry


@pytest.fixture
def reached(real: Registry, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Registry:
    internet.name(HOST, ["8.8.8.8"])
    internet.route("8.8.8.8", 443, (real.address, 443))
    monkeypatch.setenv("SSL_CERT_FILE", str(real.ca_file))
    return real


def test_a_real_registry_answers_and_lists(reached: Registry, internet: Internet) -> None:
    ours = api()
    ours.answers()
    ours.read_manifest("my-ml-image", "v1.0")
    ours.read_manifest("my-ml-image", reached.push("my-ml-image", "v1.0"))
    assert ours.tags("my-ml-image") == ["v1.0"]
    assert ours.repositories() == ["my-ml-image"]
    assert internet.lookups == [HOST]
    assert "Rules" not in repr(ours) and CANARY not in repr(ours)


def test_a_found_image_isnt_pulled(reached: Registry) -> None:
    reached.requests.clear()
    api().read_manifest("my-ml-image", "v1.0")
    assert [tuple(request) for request in reached.requests] == [
        ("GET", "/v2/", False),
        ("GET", "/v2/", True),
        ("HEAD", "/v2/my-ml-image/manifests/v1.0", True),
    ]


def test_a_real_registry_has_no_such_tag_digest_or_repository(reached: Registry) -> None:
    ours = api()
    tag = failure("image_not_found", ours.read_manifest, "my-ml-image", "v2")
    assert tag.what == f"{HOST} has my-ml-image, but not its tag v2."
    digest = failure("image_not_found", ours.read_manifest, "my-ml-image", f"sha256:{'0' * 64}")
    assert "not its digest" in digest.what
    repository = failure("image_not_found", ours.read_manifest, "my-ml", "v1.0")
    assert repository.what == f"{HOST} has no repository my-ml."
    assert failure("image_not_found", ours.tags, "my-ml").what == repository.what


def test_a_real_registry_refuses_the_login(reached: Registry) -> None:
    for login in (DockerLogin("robot", CANARY[:-1], None), DockerLogin("Robot", CANARY, None)):
        for call in ("answers", "repositories"):
            failure("login_refused", getattr(api(login=login), call))


# -- Redirects and other answers -------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "part"),
    [
        ("https://other.example.com/v2/", "points to other.example.com,"),
        ("//other.example.com/", "points to other.example.com,"),
        ("https://robot:secret@other.example.com/", "points to other.example.com,"),
        ("/login", "points to another page of its own,"),
        (f"https://{HOST}/login", "points to another page of its own,"),
        ("", "points to another page of its own,"),
        ("https://<b>/", "points to elsewhere,"),
        ("https://[::1/", "points to elsewhere,"),
        ("javascript:alert(1)", "points to elsewhere,"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(internet: Internet, location: str, part: str, status: int) -> None:
    other = internet.serve(found, "other.example.com")
    internet.serve(behind_basic(lambda request: reply(status, Location=location)))
    ours = api()
    ours.answers()
    error = failure("redirected", ours.read_manifest, "me/app", "v1")
    assert part in error.what and "credentials aren't taken along" in error.what
    assert other.requests == []
    assert (other.address, 443) not in internet.dials


def test_no_redirect_of_a_token_service_is_followed(internet: Internet) -> None:
    other = internet.serve(token_service, "other.example.com")
    internet.serve(lambda request: reply(307, Location="https://other.example.com/"), SIGN_IN)
    internet.serve(behind_token(found))
    assert SIGN_IN in failure("redirected", api().answers).what
    assert other.requests == []


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        (reply(200, b"<html>Welcome</html>"), "not_a_registry", "not as a registry"),
        (reply(200, b"hello", Content_Type="text/html"), "not_a_registry", "not as a registry"),
        (reply(404, b"no such page"), "not_a_registry", "not as a registry"),
        (reply(401), "not_a_registry", "not as a registry"),
        (reply(401, WWW_Authenticate="Negotiate"), "not_a_registry", "not as a registry"),
        (reply(401, WWW_Authenticate='", ,=,,"'), "not_a_registry", "not as a registry"),
        (reply(403, b"firewall"), "registry_unreachable", "before it asks for a login"),
        (reply(429), "throttled", "wants a pause"),
        (reply(500), "registry_unreachable", "fault of its own (HTTP 500)"),
        (reply(503, b"<html>"), "registry_unreachable", "fault of its own (HTTP 503)"),
        (b"", "registry_unreachable", "closed the connection"),
        (b"220 mail.example.com ESMTP\r\n", "not_a_registry", "not in HTTP"),
    ],
)
def test_what_a_host_may_say_instead(internet: Internet, said: bytes, code: str, part: str) -> None:
    internet.serve(lambda request: said)
    error = failure(code, api().answers)
    assert part in error.what and error.what.startswith(HOST)
    assert error.retry_after == {"throttled": 60}.get(code, 5 if "fault" in part else None)


def test_a_registry_that_drips_is_left_in_time(internet: Internet) -> None:
    def drip(request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    internet.serve(behind_basic(drip))
    began = time.monotonic()
    assert "in time" in failure("registry_unreachable", api(seconds=1).tags, "me/app").what
    assert time.monotonic() - began < 4  # it drips for five


def test_several_challenges(internet: Internet) -> None:
    """Basic goes to the registry itself, so it's the second choice, not a worse one."""
    service = internet.serve(token_service, SIGN_IN)
    both = f'Negotiate, Basic realm="a, b", Bearer realm = "https://{SIGN_IN}/token" ,service=x'

    def script(request: Request) -> bytes:
        right = request.authorization == "Bearer the-token"
        return reply(200, {}) if right else reply(401, WWW_Authenticate=both)

    internet.serve(script)
    api().answers()
    assert [request.target for request in service.requests] == ["/token?service=x"]


# -- Images and lists ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "code", "part"),
    [
        (says(403, "DENIED"), "image_denied", "or it has no such repository"),
        (says(401, "UNAUTHORIZED"), "image_denied", "or it has no such repository"),
        (says(401, "UNAUTHORIZED", **ASKS_BASIC), "image_denied", "no such repository"),
        (says(404, "NAME_UNKNOWN"), "image_not_found", "no repository me/app"),
        (says(404, "MANIFEST_UNKNOWN"), "image_not_found", "not its tag v1"),
        (says(404, "NOT_FOUND"), "image_not_found", "no image me/app with v1"),
        (says(404, ["NAME_UNKNOWN"]), "image_not_found", "no image me/app with v1"),
        (lambda request: reply(404, b"<html>"), "image_not_found", "no image"),
        (lambda request: reply(404, b"[" * 500_000), "image_not_found", "no image"),
        (lambda request: reply(404, b'{"errors": {"code": 1}}'), "image_not_found", "no image"),
        (lambda request: reply(404, b'{"errors": [[]]}'), "image_not_found", "no image"),
        (lambda request: reply(404, b"\xff\xfe\x00"), "image_not_found", "no image"),
        (says(418, "TEAPOT"), "not_a_registry", "not as a registry"),
        (lambda request: reply(200, Content_Type="text/html"), "not_a_registry", "not as"),
        (says(429, "TOOMANYREQUESTS"), "throttled", "pause"),
        (says(502), "registry_unreachable", "HTTP 502"),
    ],
)
def test_an_image_that_cant_be_read(internet: Internet, then: Script, code: str, part: str) -> None:
    def script(request: Request) -> Iterator[bytes] | bytes:
        return found(request) if "/tags/" in request.target else then(request)

    internet.serve(behind_basic(script))
    assert part in failure(code, api().read_manifest, "me/app", "v1").what


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_image_that_the_token_service_denies(internet: Internet, status: int) -> None:
    def service(request: Request) -> bytes:
        return reply(status) if "scope" in request.target else token_service(request)

    internet.serve(service, SIGN_IN)
    internet.serve(behind_token(found))
    ours = api()
    failure("image_denied", ours.read_manifest, "me/app", "v1")
    failure("listing_denied", ours.tags, "me/app")
    failure("listing_denied", ours.repositories)


def test_a_registry_that_knows_no_head(internet: Internet) -> None:
    internet.serve(
        behind_basic(lambda request: reply(405 if request.method == "HEAD" else 200, {}))
    )
    api().read_manifest("me/app", "v1")


def test_a_path_cant_leave_its_place(internet: Internet) -> None:
    registry = internet.serve(behind_basic(found))
    api().read_manifest("me/app?x", "v1/../../#\r\nX: y")
    target = registry.requests[-1].target
    assert target == "/v2/me/app%3Fx/manifests/v1%2F..%2F..%2F%23%0D%0AX:%20y"
    assert "x" not in registry.requests[-1].headers


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_list_that_isnt_given(internet: Internet, status: int) -> None:
    internet.serve(behind_basic(says(status, "UNSUPPORTED")))
    ours = api()
    error = failure("listing_denied", ours.repositories)
    assert "Pulling doesn't need it" in error.fix
    failure("image_not_found" if status == 404 else "listing_denied", ours.tags, "me/app")


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        (["v1", "V_1.0"], ["v1", "V_1.0"]),
        ([], []),
        (None, []),
        (["ok", 5, None, ["x"], "<b>", "a b", "", "x" * 129, "tag\n"], ["ok"]),
        ([f"v{number}" for number in range(1500)], [f"v{number}" for number in range(1000)]),
    ],
)
def test_lists_hold_names_only(internet: Internet, listed: object, wanted: list[str]) -> None:
    internet.serve(behind_basic(lambda request: reply(200, {"tags": listed})))
    assert api().tags("me/app") == wanted


def test_repositories_are_names_too(internet: Internet) -> None:
    listed = ["me/app", "UPPER", "a//b", "../x", "a" * 256, "<i>", {"a": 1}]
    registry = internet.serve(behind_basic(lambda request: reply(200, {"repositories": listed})))
    assert api().repositories() == ["me/app"]
    assert registry.requests[-1].target == "/v2/_catalog?n=1000"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags": "v1"}', b"{}", b'{"tags": ["v1"'])
def test_a_list_that_is_none(internet: Internet, body: bytes) -> None:
    internet.serve(behind_basic(lambda request: reply(200, body)))
    failure("not_a_registry", api().tags, "me/app")


# -- What the types say of their hosts -------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "api_host", "sign_in"),
    [
        ("docker.io", "registry-1.docker.io", {"auth.docker.io"}),
        ("registry.gitlab.com", "registry.gitlab.com", {"gitlab.com"}),
        ("registry.digitalocean.com", "registry.digitalocean.com", {"api.digitalocean.com"}),
        ("ghcr.io", "ghcr.io", set()),
        ("docker.io:5000", "docker.io:5000", set()),
        ("docker.io.example.com", "docker.io.example.com", set()),
        (HOST, HOST, set()),
    ],
)
def test_where_a_docker_registry_answers(authority: str, api_host: str, sign_in: set[str]) -> None:
    assert DockerRegistry().api_host(authority) == api_host
    assert DockerRegistry().sign_in_hosts(authority) == sign_in

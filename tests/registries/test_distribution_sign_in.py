"""Where a registry may have logins sent for a token, and where not."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from orgs.registries.types import DockerLogin
from tests.support.internet import HOST, Internet, Request, Script, reply
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


@pytest.mark.parametrize(
    "then", [found, says(200, www_authenticate='Bearer realm="https://evil.example.net/"')]
)
def test_a_token_service_that_the_type_vouches_for(internet: Internet, then: Script) -> None:
    service = internet.serve(token_service, SIGN_IN)
    registry = internet.serve(behind_token(then))
    ours = api()
    ours.answers()
    ours.read_manifest("me/app", "v1")
    asked = [urlsplit(request.target) for request in service.requests]
    assert [url.path for url in asked] == ["/token"] * 2
    assert [parse_qs(url.query) for url in asked] == [
        {"service": ["registry.here"]},
        {"service": ["registry.here"], "scope": ["repository:me/app:pull"]},
    ]
    # The password is the token service's alone.
    assert {request.authorization for request in registry.requests} == {"", "Bearer the-token"}
    assert internet.lookups == [HOST, SIGN_IN]


@pytest.mark.parametrize(
    "realm",
    [
        f"https://{HOST}/service/token",
        f"https://{HOST}:443/token?account=x",
        f"https://{HOST.upper()}",
    ],
)
def test_a_token_service_on_the_registrys_own_host(internet: Internet, realm: str) -> None:
    registry_script = behind_token(found, realm)

    def script(request: Request) -> Iterator[bytes] | bytes:
        own = request.target.startswith("/v2/")
        return registry_script(request) if own else token_service(request)

    registry = internet.serve(script)
    ours = api(sign_in_hosts=())
    ours.answers()
    assert ours.tags("me/app") == ["v1", "v2"]
    if "?" in realm:
        assert registry.requests[1].target == "/token?account=x&service=registry.here"


def test_a_registry_on_a_port_of_its_own_with_tokens_there(internet: Internet) -> None:
    registry_script = behind_token(found, f"https://{HOST}:5000/token")

    def script(request: Request) -> Iterator[bytes] | bytes:
        own = request.target.startswith("/v2/")
        return registry_script(request) if own else token_service(request)

    internet.serve(script, port=5000)
    api(f"{HOST}:5000").read_manifest("me/app", "v1")


def test_a_token_may_be_called_access_token_and_have_no_service(internet: Internet) -> None:
    internet.serve(lambda request: reply(200, {"access_token": "the-token"}), SIGN_IN)
    internet.serve(behind_token(found))
    api().answers()


def test_a_scope_of_the_registrys_own_is_asked_for(internet: Internet) -> None:
    """Azure lists tags for `metadata_read` only."""

    def service(request: Request) -> bytes:
        scope = "".join(parse_qs(urlsplit(request.target).query).get("scope", []))
        ending = "+all" if scope == "repository:me/app:metadata_read" else ""
        return reply(200, {"token": f"the-token{ending}"})

    def then(request: Request) -> bytes:
        if request.authorization.endswith("+all"):
            return found(request)
        wants = f'Bearer realm="https://{SIGN_IN}/token",scope="repository:me/app:metadata_read"'
        return reply(401, WWW_Authenticate=wants)

    internet.serve(service, SIGN_IN)
    internet.serve(behind_token(then))
    assert api().tags("me/app") == ["v1", "v2"]


def test_a_wrong_password_at_the_token_service(internet: Internet) -> None:
    internet.serve(token_service, SIGN_IN)
    registry = internet.serve(behind_token(found))
    ours = api(login=DockerLogin("robot", "wrong", None))
    assert "username and password" in failure("login_refused", ours.answers).what
    assert len(registry.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_the_registry_itself_refuses(internet: Internet, status: int) -> None:
    internet.serve(
        lambda request: reply(status if request.authorization else 401, **ASKS_BASIC),
    )
    failure("login_refused", api().answers)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"token": 5}', b'{"token": "a\\nb"}'])
def test_a_token_service_without_a_token(internet: Internet, body: bytes) -> None:
    internet.serve(lambda request: reply(200, body), SIGN_IN)
    internet.serve(behind_token(found))
    assert SIGN_IN in failure("not_a_registry", api().answers).what


def test_a_registry_that_lets_everyone_in_gets_no_password(internet: Internet) -> None:
    registry = internet.serve(found)
    ours = api()
    ours.answers()
    ours.read_manifest("me/app", "v1")
    assert not any(request.authorization for request in registry.requests)


def test_a_password_first_asked_for_by_an_image(internet: Internet) -> None:
    def script(request: Request) -> Iterator[bytes] | bytes:
        return reply(200, {}) if request.target == "/v2/" else behind_basic(found)(request)

    internet.serve(script)
    api().read_manifest("me/app", "v1")
    ours = api(login=DockerLogin("robot", "wrong", None))
    failure("login_refused", ours.read_manifest, "me/app", "v1")


HOSTILE = {
    f"http://{SIGN_IN}/token": "without encryption",
    f"http://{HOST}/token": "without encryption",
    f"//{HOST}/token": "without encryption",
    "https://evil.example.com/token": "evil.example.com",
    f"https://{HOST}.evil.example.com/token": "evil.example.com",
    f"https://{HOST}./token": "isn't known",
    "https://127.0.0.1/token": "127.0.0.1",
    "https://169.254.169.254/latest/meta-data/": "169.254.169.254",
    f"https://{HOST}@evil.example.com/token": "more than one way",
    f"https://{HOST}:443@evil.example.com/token": "more than one way",
    f"https://evil.example.com\\@{HOST}/token": "more than one way",
    f"https://evil.example.com#@{HOST}/token": "more than one way",
    f"https://{HOST}\t.evil.example.com/token": "more than one way",
    f"https://{HOST}/token#fragment": "more than one way",
    f"https://{HOST}:99999/token": "more than one way",
    f"https://{HOST}:/token": "more than one way",
    "https://[::1]/token": "more than one way",
    "https://": "more than one way",
    "": "without encryption",
    f"https://{HOST}:8443/token": "another port",
    f"https://{SIGN_IN}:8443/token": "another port",
}


@pytest.mark.parametrize(("realm", "part"), HOSTILE.items())
def test_a_login_goes_to_no_strange_realm(internet: Internet, realm: str, part: str) -> None:
    others = [
        internet.serve(token_service, "evil.example.com"),
        internet.serve(token_service, f"{HOST}.evil.example.com"),
        internet.serve(token_service, SIGN_IN),
        internet.serve(token_service, SIGN_IN, 8443),
    ]
    registry = internet.serve(behind_token(found, realm))
    ours = api()
    error = failure("hostile_realm", ours.answers)
    assert part in error.what and "it wasn't sent" in error.what
    assert [request.authorization for request in registry.requests] == [""]
    assert not any(other.requests for other in others)


def test_a_realm_that_turns_hostile_later(internet: Internet) -> None:
    internet.serve(token_service, SIGN_IN)
    evil = internet.serve(token_service, "evil.example.com")
    wants = 'Bearer realm="https://evil.example.com/token",scope="repository:me/app:all"'
    internet.serve(behind_token(says(401, www_authenticate=wants)))
    failure("hostile_realm", api().read_manifest, "me/app", "v1")
    assert evil.requests == []


def test_a_token_service_of_ours_that_leads_inside(internet: Internet) -> None:
    internet.serve(behind_token(found))
    internet.name(SIGN_IN, ["10.0.0.1"])
    assert SIGN_IN in failure("unsafe_address", api().answers).what


def test_an_unsafe_registry_is_never_dialed(internet: Internet) -> None:
    internet.name(HOST, ["127.0.0.1"])
    failure("unsafe_address", api().answers)
    assert internet.dials == []

"""Docker Hub's limits: verifying tells the pulls that a login has left, by a request that is
no pull; of others, and of accounts without a limit, nothing is said or asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from orgs.registries.images import ImageReference
from orgs.services.verification import verifying
from tests.conftest import CANARY
from tests.support.certificates import make_certificates
from tests.support.internet import Request, reply
from tests.web.conftest import look, url

__all__ = ["look"]
pytestmark = pytest.mark.django_db(transaction=True)

PREVIEW = "/v2/ratelimitpreview/test/manifests/latest"
WANTED = {"RateLimit_Limit": "200;w=21600", "ratelimit_remaining": "176;w=21600"}


@pytest.fixture
def verify(internet, make_entry, actor, tmp_path, monkeypatch):
    """What is said of an entry on a registry that answers so about its limits; and what
    reached it."""

    def verify(
        headers: dict[str, str],
        host: str = "docker.io",
        *,
        image: str = "",
        preview: int = 200,
        pull: Callable[[Request], bytes | Iterator[bytes]] | None = None,
    ):
        api, sign_in = ("registry-1.docker.io", "auth.docker.io")
        if host != "docker.io":
            api, sign_in = host, ""

        def answer(request: Request) -> bytes | Iterator[bytes]:
            if not request.authorization:
                where = f'Bearer realm="https://{sign_in or host}/token",service="registry"'
                return reply(401, {}, WWW_Authenticate=where)
            if request.target.startswith("/token"):
                return reply(200, {"token": "minted"})
            if request.target == PREVIEW:
                return hangs(request) if preview == 0 else reply(preview, b"", **headers)
            if "/manifests/" in request.target:
                return pull(request) if pull else reply(200)
            return reply(200, {})

        ca_file, server_file = make_certificates(tmp_path, api)
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        server = internet.serve(answer, api, server_file=server_file)
        if sign_in:
            internet.serve(answer, sign_in, server_file=server_file)
        entry = make_entry(
            f"{host}/me/*",
            registry_type="docker",
            config={"username": "me"},
            secrets={"password": CANARY},
        )
        named = ImageReference.parse(f"{host}/{image}") if image else None
        report = verifying.entry_verify(entry=entry, actor=actor, image=named)
        asked = [f"{r.method} {r.target}" for r in server.requests if "/manifests/" in r.target]
        return entry, report, asked

    return verify


def hangs(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(100):
        time.sleep(0.1)
        yield b"X-Y: z\r\n"


def test_what_remains_is_told_and_kept(verify, look, alice, bob) -> None:
    entry, report, asked = verify(WANTED)
    assert report.failed is None
    assert asked == [f"HEAD {PREVIEW}"]  # a GET would be a pull
    told = "docker.io lets the login in. 176 of 200 pulls within 6 hours are left."
    assert told in [step.what for step in report.steps]
    for who in (alice, bob):
        page = look(who, url("entry", entry))
        assert "176 of 200 pulls within 6 hours are left." in page.text and "Checked" in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {},  # an account without a limit
        {"RateLimit_Limit": "200;w=21600"},
        {"RateLimit_Remaining": "200;w=21600"},
        WANTED | {"RateLimit_Limit": "many;w=21600"},
        WANTED | {"RateLimit_Limit": "200"},
        WANTED | {"RateLimit_Limit": "200;w=0"},
        WANTED | {"RateLimit_Limit": "200;w=999999999"},
        {"RateLimit_Limit": "0;w=21600", "RateLimit_Remaining": "0;w=21600"},
        WANTED | {"RateLimit_Limit": "1e3;w=21600"},
        WANTED | {"RateLimit_Limit": "-200;w=21600"},
        WANTED | {"RateLimit_Limit": "٢٠٠;w=21600".encode().decode("latin-1")},
        WANTED | {"RateLimit_Limit": "9" * 5000 + ";w=21600"},
        WANTED | {"RateLimit_Limit": "100;w=21600"},  # less than remain
        WANTED | {"RateLimit_Limit": "200;w=21600, 10;w=1"},
    ],
)
def test_what_says_nothing_isnt_told(verify, headers) -> None:
    _, report, _ = verify(headers)
    assert report.failed is None
    assert "docker.io lets the login in." in [step.what for step in report.steps]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_where_it_cant_be_asked_the_check_goes_on(verify, status) -> None:
    _, report, asked = verify(WANTED, preview=status)
    assert report.failed is None and asked == [f"HEAD {PREVIEW}"]
    assert "docker.io lets the login in." in [step.what for step in report.steps]


def test_no_other_registry_is_asked(verify) -> None:
    _, report, asked = verify(WANTED, host="registry.example.com")
    assert report.failed is None and asked == []
    assert "registry.example.com lets the login in." in [step.what for step in report.steps]


def test_a_limit_that_is_used_up(verify) -> None:
    _, report, _ = verify(WANTED | {"ratelimit_remaining": "0;w=21600"})
    assert report.failed is None
    (told,) = [step.what for step in report.steps if step.name == "registry"]
    assert "None of its 200 pulls within 6 hours is left, so further ones fail" in told


def test_a_limit_that_cant_be_had_leaves_time_for_the_image(verify, monkeypatch) -> None:
    monkeypatch.setattr(verifying, "LIMIT_SECONDS", 0.4)
    began = time.monotonic()
    _, report, asked = verify({}, image="me/train:v1", preview=0)
    assert report.failed is None and time.monotonic() - began < verifying.REGISTRY_SECONDS
    assert asked == [f"HEAD {PREVIEW}", "HEAD /v2/me/train/manifests/v1"]
    assert "docker.io/me/train:v1 can be pulled." in [step.what for step in report.steps]


USED_UP = {"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}
SLOWER = {"code": "TOOMANYREQUESTS", "message": "Slow down."}


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({"RateLimit_Remaining": "0;w=21600"}, b"", "limit of pulls is used up"),
        ({"RateLimit_Remaining": "5;w=21600"}, b"", "too many requests from here"),
        ({}, {"errors": [SLOWER]}, "too many requests from here"),
        ({}, b"", "too many requests from here"),
    ],
)
def test_a_pull_too_many_is_told_apart_from_too_many_requests(verify, headers, body, says) -> None:
    _, report, _ = verify({}, image="me/train:v1", pull=lambda r: reply(429, body, **headers))
    assert report.failed is not None and report.failed.code == "throttled"
    assert says in report.failed.what


def test_a_pull_too_many_is_known_by_its_words(verify) -> None:
    def pull(request: Request) -> bytes:
        # Where a HEAD isn't taken, the GET has words.
        return reply(405) if request.method == "HEAD" else reply(429, {"errors": [USED_UP]})

    _, report, _ = verify({}, image="me/train:v1", pull=pull)
    assert report.failed is not None and "limit of pulls is used up" in report.failed.what

"""Docker Hub's limits: verifying tells the pulls that a login has left, by a request that is
no pull; of others, and of accounts without a limit, nothing is said or asked."""

from __future__ import annotations

import pytest

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
        headers: dict[str, str], host: str = "docker.io", image: str = "", status: int = 200
    ):
        api, sign_in = ("registry-1.docker.io", "auth.docker.io")
        if host != "docker.io":
            api, sign_in = host, ""

        def answer(request: Request) -> bytes:
            if not request.authorization:
                where = f'Bearer realm="https://{sign_in or host}/token",service="registry"'
                return reply(401, {}, WWW_Authenticate=where)
            if request.target.startswith("/token"):
                return reply(200, {"token": "minted"})
            if "/manifests/" in request.target:
                if status == 429:
                    error = {
                        "code": "TOOMANYREQUESTS",
                        "message": "You have reached your pull rate limit.",
                    }
                    return reply(429, {"errors": [error]}, **headers)
                return reply(status, b"" if request.method == "HEAD" else {}, **headers)
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
        report = verifying.entry_verify(entry=entry, actor=actor)
        asked = [f"{r.method} {r.target}" for r in server.requests if "/manifests/" in r.target]
        return entry, report, asked

    return verify


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
    _, report, asked = verify(WANTED, status=status)
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

"""A registry API to ask, and the scripts of the registries that it asks."""

from __future__ import annotations

import base64
import time
import traceback
from collections.abc import Callable, Iterator

import pytest

from orgs.registries.addresses import Rules
from orgs.registries.distribution import RegistryApi
from orgs.registries.problems import Failed
from orgs.registries.types import DockerLogin
from tests.conftest import CANARY
from tests.support.internet import HOST, Request, Script, reply

SIGN_IN = "auth.example.com"
LOGIN = DockerLogin("robot", CANARY, None)
BASIC = "Basic " + base64.b64encode(f"robot:{CANARY}".encode()).decode()
ASKS_BASIC = {"WWW_Authenticate": 'Basic realm="registry"'}


def api(
    authority: str = HOST, login: DockerLogin = LOGIN, seconds: float = 10, **kwargs: object
) -> RegistryApi:
    """As a type sees it that vouches for `auth.example.com`, and goes to public addresses."""
    kwargs = {"rules": Rules(), "sign_in_hosts": {SIGN_IN}} | kwargs
    return RegistryApi(authority, login, deadline=time.monotonic() + seconds, **kwargs)


def failure(code: str, call: Callable[..., object], *args: str) -> Failed:
    """What a call raises; never with the secret in it, however it is printed."""
    with pytest.raises(Failed) as raised:
        call(*args)
    error = raised.value
    printed = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    for secret in (CANARY, BASIC.removeprefix("Basic "), "the-token"):
        assert secret not in printed
    assert error.code == code, error
    assert error.what.endswith(".") and error.fix.endswith(".")
    return error


def behind_basic(then: Script) -> Script:
    """A registry that lets `LOGIN` in, and goes on as `then` does."""

    def script(request: Request) -> Iterator[bytes] | bytes:
        if request.authorization != BASIC:
            return reply(401, {"errors": [{"code": "UNAUTHORIZED"}]}, **ASKS_BASIC)
        return reply(200, {}) if request.target == "/v2/" else then(request)

    return script


def behind_token(then: Script, realm: str = f"https://{SIGN_IN}/token") -> Script:
    """The same, for who brings the token of `token_service`."""

    asks = {"WWW_Authenticate": f'Bearer realm="{realm}",service="registry.here"'}

    def script(request: Request) -> Iterator[bytes] | bytes:
        if not request.authorization.startswith("Bearer the-token"):
            return reply(401, {"errors": [{"code": "UNAUTHORIZED"}]}, **asks)
        return reply(200, {}) if request.target == "/v2/" else then(request)

    return script


def token_service(request: Request) -> bytes:
    right = request.authorization == BASIC
    return reply(200, {"token": "the-token"}) if right else reply(401, {"details": "incorrect"})


def found(request: Request) -> bytes:
    return reply(200, {"tags": ["v1", "v2"], "repositories": ["me/app", "other"]})


def says(status: int, code: object = None, **headers: str) -> Script:
    return lambda request: reply(status, {"errors": [{"code": code}]}, **headers)

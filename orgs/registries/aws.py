"""One call of an AWS service, signed with exactly the key given and nothing of the server's.

botocore's client is left out: it has no bound on a whole call (an answer that drips a
byte a second held one for half a minute), costs a tenth of a second of work each time,
and looks for profiles, endpoints and credentials around it. Its signature and its
endpoints are used; what goes out goes out by `outbound`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from typing import Any
from urllib.parse import urlencode

from . import outbound, provider_calls

MAX_ANSWER = 8_000_000  # bytes: a thousand images with their tags stay far below

_XML_CODE = re.compile(r"<Code>([A-Za-z.]{1,100})</Code>")
_XML_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")


@dataclass(frozen=True)
class Key:
    """An access key; `secret` and `token` are shown nowhere. A session's key has a `token`,
    and the `role` whose it is, by its ARN."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    role: str = ""


@dataclass(frozen=True)
class Service:
    """A service of AWS: its name as endpoints and signatures have it, and, where it speaks
    JSON, what its operations' names begin with; else the version of its language."""

    name: str
    target: str


class Fault(provider_calls.Fault):
    """What AWS refused: its error code ("" where none was told), its text, which never
    travels further, and the HTTP status."""

    def __init__(self, code: str, text: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.status = status

    @property
    def throttled(self) -> bool:
        return super().throttled or "Throttl" in self.code or self.code in _TOO_MANY


_TOO_MANY = frozenset({"TooManyRequestsException", "SlowDown", "RequestLimitExceeded"})


def ask(
    service: Service,
    operation: str,
    content: Mapping[str, Any],
    *,
    key: Key,
    region: str,
    url: str,
    deadline: float,
) -> dict[str, Any]:
    """Call an operation at `url` (see `endpoint`) and give its answer; blocking, until
    `deadline` (`time.monotonic()` seconds) at most.

    An outage is tried once more. Raises `Fault`, `provider_calls.Foreign`,
    `outbound.Unreachable`.
    """
    body = json.dumps(content).encode()

    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"{service.target}.{operation}",
    }

    def attempt(until: float) -> dict[str, Any]:
        signed = _signed(service, headers, body, key, region, url)
        return _read(provider_calls.answered(url, body, signed, until, MAX_ANSWER))

    return provider_calls.tried(attempt, deadline)


def ask_in_xml(
    service: Service,
    operation: str,
    content: Mapping[str, str],
    *,
    key: Key | None,
    region: str,
    url: str,
    deadline: float,
) -> str:
    """As `ask`, of a service that answers in XML; signed by nobody where `key` is None."""
    body = urlencode({"Action": operation, "Version": service.target, **content}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

    def attempt(until: float) -> str:
        signed = _signed(service, headers, body, key, region, url) if key else headers
        answer = provider_calls.answered(url, body, signed, until, MAX_ANSWER)
        if answer.status != 200:
            raise _fault(answer, provider_calls.document(answer))
        return answer.body.decode("utf-8", "replace")

    return provider_calls.tried(attempt, deadline)


def endpoint(service: Service, region: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    """The address of a service's API in a region, by botocore's own data."""
    given = {"Region": region, "UseFIPS": fips, "UseDualStack": dual_stack}
    return _endpoints(service.name).resolve_endpoint(**given).url


def prepare(service: Service) -> None:
    """Load what a call needs, which takes its time the first time."""
    with _preparing:  # once, not by all who come at the same moment
        _signing()
        _endpoints(service.name)


_preparing = threading.Lock()


def _read(answer: outbound.Answer) -> dict[str, Any]:
    told = provider_calls.document(answer)
    if answer.status != 200:
        raise _fault(answer, told)
    if told is None:
        raise provider_calls.Foreign
    return told


def _signed(
    service: Service, headers: Mapping[str, str], body: bytes, key: Key, region: str, url: str
) -> dict[str, str]:
    auth, request_class, credentials_class = _signing()
    request = request_class(method="POST", url=url, data=body, headers=dict(headers))
    given = credentials_class(key.id, key.secret, key.token or None)
    auth(given, service.name, region).add_auth(request)
    return dict(request.headers.items())


def _fault(answer: outbound.Answer, told: dict[str, Any] | None) -> Fault:
    """AWS's error, in JSON with `__type`, or in XML as its older services have it."""
    if told is not None:
        code = str(told.get("__type") or told.get("code") or "")
        text = str(told.get("message") or told.get("Message") or "")
        return Fault(code.rpartition("#")[2].partition(":")[0], text, answer.status)
    xml = answer.body[:10_000].decode("utf-8", "replace")
    in_code, in_message = _XML_CODE.search(xml), _XML_MESSAGE.search(xml)
    text = unescape(in_message[1]) if in_message else ""
    return Fault(in_code[1] if in_code else "", text, answer.status)


@cache
def _signing() -> tuple[Any, Any, Any]:
    """Imported late: most commands need none of it."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    return SigV4Auth, AWSRequest, Credentials


@cache
def _endpoints(service: str) -> Any:
    """botocore's own rules and no other (~/.aws/models), parsed once a process."""
    from botocore.endpoint_provider import EndpointProvider
    from botocore.loaders import Loader

    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    return EndpointProvider(rules, loader.load_data("partitions"))

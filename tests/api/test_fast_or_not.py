"""Whatever is asked, the fast path changes nothing of the answer but the time it takes."""

from __future__ import annotations

import json
import random
import re
import uuid
from typing import Any

import pytest
from django.test import Client

from orgs.api import limits
from orgs.services.audit.events import COMMAND_LINE
from orgs.services.logins import fast
from orgs.services.tenancy.tokens import token_issue_worker
from tests.conftest import HOST

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
IMAGE = f"{HOST}/my-ml-image:v1.0"
PATH = "/api/v0/docker-login/"


def values(project: uuid.UUID) -> list[Any]:
    """What may stand for a project, an image or an environment."""
    return [
        *(None, "", 0, 1, True, False, [], {}, ["gpu"], "x", str(project), str(project).upper()),
        *(project.hex, f"{{{project}}}", f"urn:uuid:{project}", f" {project}", str(uuid.uuid4())),
        *(IMAGE, f"{IMAGE} ", f" {IMAGE}", f"{IMAGE}\n", IMAGE.upper(), IMAGE.replace(":v1.0", "")),
        *(f"{IMAGE}@sha256:{'a' * 64}", f"{HOST}:443/my-ml-image", f"{HOST}/", HOST, f"{HOST}./a"),
        *("gpu", "cpu", " gpu", "GPU", "ubuntu", "\ud800", "\0", "a" * 5000, HOST.upper() + "/a"),
    ]


def bodies(rng: random.Random, project: uuid.UUID) -> bytes:
    document: dict[str, Any] = {"project": str(project), "image": IMAGE}
    for _ in range(rng.randint(0, 2)):
        name = rng.choice(["project", "image", "environment", "server", "x", "Image"])
        document[name] = rng.choice(values(project))
    if rng.random() < 0.1:
        document.pop(rng.choice(list(document)))
    escaped = rng.random() < 0.5
    body = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    spoil = {
        0: lambda: body[:-1],
        1: lambda: body.replace(b'"image"', b'"image": "x/y", "image"', 1),
        2: lambda: b"\xef\xbb\xbf" + body,
        3: lambda: body.decode("utf-8", "replace").encode("utf-16", "replace"),
        4: lambda: b" " * rng.randint(1, 99_999) + body,
        5: lambda: b"[" + body + b"]",
    }.get(rng.randint(0, 30))
    return spoil() if spoil else body


def heads(token: str, other: str) -> list[dict[str, Any]]:
    of = "HTTP_AUTHORIZATION"
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
             "application/json; charset=utf-16", "")  # fmt: skip
    tokens = (f"token {token}", f"Token  {token}", f"Token {token} ", f"Bearer {token}",
              f"Token {other}", f"Token {token[:-1]}x", "Token", "", f"Token\t{token}")  # fmt: skip
    paths = (PATH[:-1], f"{PATH}?format=containers-auth", f"{PATH}?x=1", f"{PATH}?")
    return [
        *({} for _ in range(40)),
        *({"content_type": kind} for kind in kinds),
        *({of: written} for written in tokens),
        *({"method": method} for method in ("PUT", "GET", "HEAD", "OPTIONS", "post")),
        *({"path": path} for path in paths),
        *({name: value} for name, value in (
            ("HTTP_ACCEPT", "text/html"), ("HTTP_X_FORWARDED_FOR", "1.2.3.4, x"),
            ("HTTP_X_HTTP_METHOD_OVERRIDE", "GET"), ("HTTP_COOKIE", "sessionid=x"),
            ("HTTP_ORIGIN", "https://evil.example.com"), ("HTTP_CONTENT_ENCODING", "gzip"))),
    ]  # fmt: skip


def test_the_same_answer(aws, make_entry, project, acme, umbrella, gpu, monkeypatch) -> None:
    key_id, secret = aws.create_user("valohai", aws.policy())
    config = {"access_key_id": key_id}
    make_entry(config=config, secrets={"secret_access_key": secret})
    make_entry([f"{HOST}/a"], config=config, secrets={"secret_access_key": secret})
    token, other = (
        token_issue_worker(organization=each, name="w", actor=COMMAND_LINE)[1]
        for each in (acme, umbrella)
    )
    monkeypatch.setattr(limits.buckets, "wait", lambda *args: 0)
    client = Client()

    def told(body: bytes, method: str = "POST", path: str = PATH, **head: Any) -> tuple[Any, ...]:
        kind = head.pop("content_type", "application/json")
        head = {"HTTP_AUTHORIZATION": f"Token {token}", **head}
        answer = client.generic(method, path, body, kind, **head)
        # Told of a cached login as of now.
        text = re.sub(rb'(?<="refresh_at": ")[^"]*', b"", answer.content)
        headers = {k: v for k, v in answer.headers.items() if k != "X-Request-ID"}
        return answer.status_code, headers, text

    whole = {"project": str(project.pk), "image": IMAGE}
    assert told(json.dumps(whole).encode())[0] == 200
    given = 0
    standing = fast.standing

    def counted(**asked: Any) -> Any:
        nonlocal given
        found = standing(**asked)
        given += found is not None
        return found

    rng = random.Random(7)
    asked = heads(token, other)
    for _ in range(600):
        body, head = bodies(rng, project.pk), rng.choice(asked)
        monkeypatch.setattr(fast, "standing", counted)
        quick = told(body, **head)
        monkeypatch.setattr(fast, "standing", lambda **asked: None)
        assert quick == told(body, **head), (body, head)
    assert given > 100

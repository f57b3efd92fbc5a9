"""The log: one JSON object a line, a request's id from the log to the event; no secret."""

from __future__ import annotations

import json
import logging
import os
import time

import pytest
from django.test import Client

from orgs.models import AuditEvent
from orgs.seen import logs
from orgs.services.entries import door
from orgs.services.tenancy import people
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lines(capfd):
    """What was logged since, read as JSON."""

    def found():
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    found()
    return found


def test_a_request_is_one_line(client, lines, alice, acme, make_entry) -> None:
    entry = make_entry()
    client.force_login(alice)
    answer = client.get(f"/organizations/acme/registries/{entry.pk}/?q=word", REMOTE_ADDR="9.9.9.9")
    (line,) = lines()
    assert list(line)[:3] == ["at", "level", "message"]
    assert line.pop("at").endswith("Z") and line.pop("ms") > 0
    assert line == {
        "level": "info",
        "message": "request",
        "method": "GET",
        "route": "organizations/<slug:slug>/registries/<uuid:entry_id>/",
        "status": 200,
        "address": "9.9.9.9",
        "entry_id": str(entry.pk),
        "request": answer["X-Request-ID"],
    }


def test_an_export_is_told_of_at_its_end(client, lines, alice, acme, make_entry) -> None:
    make_entry()
    client.force_login(alice)
    answer = client.get("/organizations/acme/audit/export.csv")
    assert not [line for line in lines() if line["message"] == "request"]
    time.sleep(0.2)
    assert b"Entry added" in b"".join(answer.streaming_content)
    answer.close()
    (line,) = [line for line in lines() if line["message"] == "request"]
    assert line["ms"] >= 200 and line["request"] == answer["X-Request-ID"]
    assert logs.request_id() == ""  # what this thread does next isn't the export's


def test_what_fails_in_an_export_has_its_id(client, lines, alice, acme, monkeypatch) -> None:
    def broken(events):
        yield "first"
        logging.getLogger("orgs.test").error("it broke")

    monkeypatch.setattr("orgs.services.audit.log.export", broken)
    client.force_login(alice)
    answer = client.get("/organizations/acme/audit/export.csv")
    list(answer.streaming_content)
    (line,) = [line for line in lines() if line["message"] == "it broke"]
    assert line["request"] == answer["X-Request-ID"]


def test_its_id_is_in_the_event_and_the_answer(ask, entry) -> None:
    """By the whole way, the fast path, and of a refusal."""
    given = [ask(), ask(), ask("registry.example.com/x")]
    assert [answer.status_code for answer in given] == [200, 200, 404]
    events = AuditEvent.objects.filter(action__startswith="login.").order_by("pk")
    ids = [answer["X-Request-ID"] for answer in given]
    assert [event.properties["request"] for event in events] == ids and len(set(ids)) == 3


def test_what_no_request_brought_about_has_none(acme, make_entry, actor) -> None:
    logs.begin()
    logs.end()
    make_entry()
    assert all("request" not in e.properties for e in AuditEvent.objects.all())


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("3f2a-9c01", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("short", False),
        ("with blanks in it", False),
        ('{"level": "x"}', False),
        ("ünïcödes-and-so", False),
        ("", False),
    ],
)
def test_an_id_is_taken_from_trusted_proxies_alone(client, settings, given, taken) -> None:
    answer = client.get("/livez", HTTP_X_REQUEST_ID=given)
    assert answer["X-Request-ID"] != given
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    answer = client.get("/livez", HTTP_X_REQUEST_ID=given)
    assert (answer["X-Request-ID"] == given) is taken
    assert logs._GIVEN_ID.fullmatch(answer["X-Request-ID"])


def test_a_one_time_link_is_in_no_line(client, alice, actor, lines) -> None:
    link = people.person_link(person=alice, actor=actor)
    path = "/" + link.split("/", 3)[3]
    secret = path.rstrip("/").rsplit("/", 1)[1]
    for address in (path, f"{path}x/y", f"/mistyped{path}", f"{path}?q={secret}"):
        client.get(address)
        client.get(address, HTTP_HOST="evil.example.com", HTTP_REFERER=f"http://x{path}")
    found = lines()
    assert len(found) >= 8 and secret not in json.dumps(found)


@pytest.mark.parametrize("address", ["/organizations/acme/registries/new/", "api"])
def test_an_error_is_told_by_kind_and_place_without_its_text(
    alice, acme, monkeypatch, lines, address
) -> None:
    def crash(**_):
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise RuntimeError(f"crashed at {CANARY}") from error

    monkeypatch.setattr(door, "entry_create", crash)
    client = Client(raise_request_exception=False)
    if address == "api":
        from datetime import timedelta

        from orgs.services.audit.events import Actor
        from orgs.services.tenancy import tokens

        _, token = tokens.token_issue_api(
            user=alice, name="script", actor=Actor("x"), expires_in=timedelta(days=1)
        )
        body = {
            "type": "docker",
            "image_pattern": "registry.example.com/*",
            "configuration": {"username": "u", "password": CANARY},
        }
        answer = client.post(
            "/api/v0/registry-credentials/", json.dumps(body), "application/json",
            HTTP_AUTHORIZATION=f"Token {token}",
        )  # fmt: skip
    else:
        client.force_login(alice)
        lines()
        answer = client.post(
            address,
            {
                "patterns": f"{HOST}/*",
                "registry_type": "aws-ecr",
                "access_key_id": "AKIAIOSFODNN7EXAMPLE",
                "secret_access_key": CANARY,
                "enabled": "on",
            },
        )
    assert answer.status_code == 500
    found = lines()
    assert CANARY not in json.dumps(found)
    told = next(line for line in found if line["level"] == "error")
    assert told["request"] == answer["X-Request-ID"]
    assert [one["kind"] for one in told["error"]] == ["RuntimeError", "KeyError"]
    assert told["error"][0]["where"][-1].endswith(" crash")
    assert [line["status"] for line in found if line["message"] == "request"] == [500]


def test_a_crash_is_told_with_its_id(alice, client, monkeypatch) -> None:
    def crash(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("orgs.web.views.render", crash)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    monkeypatch.setattr("orgs.web.views.redirect", crash)
    answer = client.get("/")
    assert answer.status_code == 500
    assert answer["X-Request-ID"] in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "said", "args"),
    [
        ("django.request", "%s: %s", ("Service Unavailable", "/accounts/password/MQ/SECRET/")),
        ("django.security.csrf", "Forbidden (%s): %s", ("Origin SECRET", "/SECRET/")),
        ("django.security.DisallowedHost", "Invalid HTTP_HOST header: 'SECRET'.", ()),
        ("gunicorn.error", "Invalid request from ip=9.9.9.9: Invalid line: 'GET /SECRET'", ()),
        ("gunicorn.error", "Error handling request %s", ("/SECRET/",)),
    ],
)
def test_what_others_say_of_a_request_is_cut(name, said, args, lines) -> None:
    logging.getLogger(name).error(said, *args)
    (line,) = lines()
    assert line["level"] == "error" and line["message"]
    assert "SECRET" not in json.dumps(line)


@pytest.mark.parametrize("how", ["crash", "no cookie", "origin"])
def test_a_link_is_in_no_line_of_an_error(alice, actor, lines, monkeypatch, how) -> None:
    link = people.person_link(person=alice, actor=actor)
    path = "/" + link.split("/", 3)[3]
    client = Client(raise_request_exception=False, enforce_csrf_checks=how != "crash")

    def crash(*_, **__):
        raise RuntimeError(path)

    if how == "crash":
        monkeypatch.setattr("django.contrib.auth.views.PasswordResetConfirmView.dispatch", crash)
    more = {"HTTP_ORIGIN": f"http://{path.strip('/').replace('/', '.')}"} if how == "origin" else {}
    answer = client.get(path) if how == "crash" else client.post(path, {"a": "b"}, **more)
    assert answer.status_code in {500, 403}
    assert path.rstrip("/").rsplit("/", 1)[1] not in json.dumps(lines())


def test_lines_stay_lines() -> None:
    """Whatever is logged, and whoever reads it: ASCII, one object a line."""
    told = ("x", logging.WARNING, "file", 1, "two\nlines \ud800 \0 and %s", ({"a": "ü"},), None)
    line = logs.Formatter().format(logging.LogRecord(*told))
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["message"] == "two\nlines \ud800 \0 and {'a': 'ü'}"


def test_a_log_that_can_not_be_written_fails_no_request(ask, entry, monkeypatch) -> None:
    """As on a full disk, which was filled by the log itself more often than not."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(logs._line, "_write", full.write)
        monkeypatch.setattr(logs._line, "_flush", full.flush)
        assert ask().status_code == 200
        with pytest.raises(OSError, match="space"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())

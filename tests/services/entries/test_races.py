"""Two at once at one entry, through their own faces: neither undoes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client

from orgs.api import limits
from orgs.forms.entry import EntryForm, form_for
from orgs.forms.shown import Shown
from orgs.models import RegistryEntry
from orgs.services.audit.events import Actor
from orgs.services.bulk import importing
from orgs.services.bulk.files.rows import Row
from orgs.services.entries import door
from orgs.services.tenancy import tokens
from tests.api.conftest import Api
from tests.conftest import HOST
from tests.web.conftest import url

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 200


@pytest.fixture
def entry(make_entry, gpu):
    return make_entry(environments=[gpu])


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """What each gives, begun at the same moment, each in a thread with its own connection."""
    with ThreadPoolExecutor(3) as pool:

        def run(*several: Callable[[], Any]) -> list[Any]:
            begin = Barrier(len(several))

            def one(do: Callable[[], Any]) -> Any:
                begin.wait(timeout=30)
                return do()

            return [
                future.result(timeout=60) for future in [pool.submit(one, do) for do in several]
            ]

        yield run
        run(*[lambda: connection.close()] * 3)


@pytest.fixture
def patch(alice, actor, entry, monkeypatch) -> Callable[..., None]:
    """Change the entry through the API, as a script does."""
    monkeypatch.setattr(limits.Buckets, "wait", lambda *args: 0.0)
    api = Api(tokens.token_issue_api(user=alice, name="terraform", actor=actor)[1])

    def patch(**change: Any) -> None:
        address = f"/api/v0/registry-credentials/{entry.pk}/"
        answer = api.send("PATCH", address, change)
        assert answer.status_code == 200, answer.content

    return patch


@pytest.fixture
def switch(alice, entry) -> Callable[[str], None]:
    """Press the entry page's «Enable» or «Disable»."""
    browser = Client()
    browser.force_login(alice)

    def press(which: str) -> None:
        assert browser.post(url(f"entry_{which}", entry)).status_code == 302

    return press


def standing() -> RegistryEntry:
    return RegistryEntry.objects.get()


def test_two_patches_of_other_fields_and_a_disable(at_once, patch, switch) -> None:
    """All three at once: each pair of them races."""
    for n in range(ROUNDS):
        which = "enable" if n % 2 else "disable"
        texts = [f"{HOST}/{n}/*", f"{HOST}/*"]
        at_once(
            lambda: patch(note=f"{n}"),  # noqa: B023
            lambda: patch(image_patterns=texts),  # noqa: B023
            lambda: switch(which),  # noqa: B023
        )
        found = standing()
        told = (found.note, found.pattern_texts, found.enabled)
        assert told == (f"{n}", texts, which == "enable"), n


def test_a_form_and_a_patch(at_once, patch, alice, acme, entry) -> None:
    """The form of the web and the admin; their pages take most of a test's time."""
    (gpu,) = entry.environments
    typed = {"patterns": f"{HOST}/*", "registry_type": "aws-ecr", **entry.config}
    typed |= {"environments": f"{gpu.pk}"}
    actor = Actor.person(alice, acme)

    def save(data: dict[str, str]) -> EntryForm | None:
        """None once it's saved."""
        sent = QueryDict(mutable=True)
        sent.update(data)
        form = form_for("aws-ecr")(sent, organization=acme, instance=standing())
        return None if form.write(actor) else form

    told = 0
    for n in range(ROUNDS):
        was = standing()
        sent = typed | {"shown": Shown.of(was).written(), "note": f"{n}"}
        sent |= {"enabled": "on"} if was.enabled else {}
        form, _ = at_once(lambda: save(sent), lambda: patch(enabled=not was.enabled))  # noqa: B023
        found = standing()
        assert found.enabled is not was.enabled, n
        assert found.note == (was.note if form else f"{n}"), n
        if form:
            told += 1
            (sentence,) = form.non_field_errors()
            assert "alice@example.com changed this entry since you opened it: Enabled." in sentence
            assert form["note"].value() == f"{n}"
            assert form["enabled"].value() is found.enabled
    assert told  # the sentence was asked for at least once


def test_an_import_and_a_disable(at_once, acme, actor, switch, entry) -> None:
    """What a row says of `enabled` counts; the rest is written into what stands."""
    for n in range(20):
        cells = {"image_pattern": f"{HOST}/*", "type": "aws-ecr", "environments": "gpu"}
        cells |= {"note": f"{n}", "enabled": "false", **entry.config}
        rows = [Row(2, cells)]

        def bring_in() -> importing.Report:
            return importing.apply(organization=acme, actor=actor, rows=rows, update=True)  # noqa: B023

        report, _ = at_once(bring_in, lambda: switch("disable"))
        assert report.written, report.errors
        found = standing()
        assert (found.note, found.enabled) == (f"{n}", False)
        door.entry_set_enabled(entry=entry, actor=actor, enabled=True)

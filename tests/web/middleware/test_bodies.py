"""How large a request may be: by who sends it and where to, before any of it is read."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.urls import get_resolver

from orgs.registries.catalogue import TYPES
from orgs.registries.places import Full
from orgs.services.bulk import exporting
from orgs.services.bulk.files import apart
from orgs.web.middleware import bodies
from tests.support import PROJECT_ROOT, effort
from tests.web.conftest import NEW, TYPED, Page

pytestmark = pytest.mark.django_db

IMPORT = "/organizations/acme/registries/import/"
CHECK = "/organizations/acme/registries/check/"
LOGIN = "/accounts/login/"


@pytest.fixture
def unread(monkeypatch):
    """No form may be read."""

    def refuse(self):
        raise AssertionError("The body was read.")

    monkeypatch.setattr(HttpRequest, "_load_post_and_files", refuse)
    monkeypatch.setattr("django.core.handlers.wsgi.WSGIRequest._load_post_and_files", refuse)


def of_size(size: int) -> dict[str, str]:
    return {"content_type": "application/x-www-form-urlencoded", "data": "x" * size}


@pytest.mark.parametrize("address", [LOGIN, IMPORT, CHECK, "/admin/login/"])
def test_strangers_send_small_forms_only(client, acme, unread, address):
    answer = client.post(address, **of_size(bodies.STRANGERS + 1))
    page = Page(answer)
    assert (page.status, page.heading) == (413, "Too large")
    assert "at most 64 KB" in page.text and page.links["Sign in"] == LOGIN


def test_what_strangers_may_send_is_read(client):
    assert client.post(LOGIN, **of_size(bodies.STRANGERS)).status_code == 200


def test_at_an_address_that_takes_no_file(client, alice, unread):
    client.force_login(alice)
    page = Page(client.post(NEW, **of_size(bodies.FORMS + 1)))
    assert page.status == 413 and "at most 256 KB" in page.text


def test_large_forms_of_people(send, alice):
    page = send(alice, NEW, {**TYPED, "note": "x" * 100_000})
    assert page.status == 200 and page.error("note")


@pytest.mark.parametrize("address", [IMPORT, CHECK])
def test_files_up_to_their_size(client, alice, unread, address):
    client.force_login(alice)
    most = bodies.FILES["import" if address == IMPORT else "check"] + bodies.ROOM
    assert client.post(address, **of_size(most + 1)).status_code == 413
    with pytest.raises(AssertionError, match="was read"):
        client.post(address, **of_size(most))


def test_the_admin_takes_import_files(client, staff, acme, unread):
    client.force_login(staff)
    address = f"/admin/orgs/organization/{acme.pk}/import/"
    assert client.post(address, **of_size(13_000_000)).status_code == 413
    with pytest.raises(AssertionError, match="was read"):
        client.post(address, **of_size(1_000_000))
    assert client.post("/admin/orgs/user/add/", **of_size(1_000_000)).status_code == 413


@pytest.mark.parametrize("length", ["9" * 40, "-1", "1e3", "٣"])
def test_odd_lengths(client, unread, length):
    assert client.post(LOGIN, **of_size(1), CONTENT_LENGTH=length).status_code == 413


def test_no_length_at_all(client, unread):
    request = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    page = Page(client.post(LOGIN, **of_size(0), CONTENT_LENGTH="", **request))
    assert page.status == 411 and "Send it with its length" in page.text


def test_what_is_refused_is_thrown_away_so_that_its_answer_is_seen(client, monkeypatch):
    answer = client.post(LOGIN, **of_size(300_000))
    assert "Connection" not in answer and not answer.wsgi_request.read(1)
    endless = client.post(LOGIN, **of_size(1), CONTENT_LENGTH=str(bodies.MOST_SKIPPED + 1))
    assert endless["Connection"] == "close"
    monkeypatch.setattr(bodies, "SKIPPING", 0.0)
    assert client.post(LOGIN, **of_size(300_000))["Connection"] == "close"


def test_only_for_a_few_at_once_it_is(client):
    with ExitStack() as stack:
        with pytest.raises(Full):
            for owner in range(100):
                stack.enter_context(bodies.SKIPPED.taken(owner))
        assert client.post(LOGIN, **of_size(300_000))["Connection"] == "close"
    assert "Connection" not in client.post(LOGIN, **of_size(300_000))


def test_the_api_has_its_own(client):
    answer = client.post("/api/v0/docker-login/", **of_size(bodies.STRANGERS + 1))
    assert answer.status_code == 413 and answer.json()["code"] == "too_large"


def test_more_files_or_fields_than_a_page_has(client, alice):
    client.force_login(alice)
    files = {f"f{n}": SimpleUploadedFile("a.csv", b"x") for n in range(11)}
    assert client.post(IMPORT, files).status_code == 400
    assert client.post(IMPORT, {f"f{n}": "x" for n in range(1001)}).status_code == 400


def test_every_page_with_a_file_is_named():
    """A form with a file field at another address would be cut off at `FORMS`."""
    known = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert {name for name in bodies.FILES if ":" not in name} <= known
    templates = (PROJECT_ROOT / "templates").rglob("*.html")
    with_files = {p.name for p in templates if re.search("multipart/form-data", p.read_text())}
    # An entry's, in the web and in the admin, is a secret of a few KB.
    assert with_files == {"import.html", "check.html", "_form.html"}
    declared = [f for kind in TYPES for f in kind.fields if f.file]
    assert declared and all(4 * f.max_length < bodies.FORMS for f in declared)


def test_it_stands_before_whatever_reads_forms():
    order = settings.MIDDLEWARE
    assert order.index("orgs.web.middleware.bodies.Bodies") < order.index(
        "django.middleware.csrf.CsrfViewMiddleware"
    )


# --- places ---------------------------------------------------------------------------


def test_as_many_large_ones_as_there_are_places(client, alice):
    client.force_login(alice)
    file = SimpleUploadedFile("a.csv", b"x" * 300_000)
    with ExitStack() as stack:
        with pytest.raises(Full):
            for owner in range(100):
                stack.enter_context(bodies.PLACES.taken(f"other {owner}"))
        page = Page(client.post(IMPORT, {"file": file}))
        assert page.status == 503 and "Other files are being received" in page.text
        small = SimpleUploadedFile("a.txt", b"x")
        assert client.post(IMPORT, {"file": small}).status_code == 200
    file.seek(0)
    assert client.post(IMPORT, {"file": file}).status_code == 302
    assert bodies.PLACES.held(alice.pk) == 0


def test_a_place_is_given_back_after_an_error(client, alice, monkeypatch):
    client.force_login(alice)
    monkeypatch.setattr("orgs.web.registries.importing.render", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.post(IMPORT, **of_size(300_000))
    assert bodies.PLACES.held(alice.pk) == 0


def test_one_file_is_read_at_a_time_for_an_organization(client, alice, acme):
    client.force_login(alice)
    file = SimpleUploadedFile("a.csv", b"image_pattern,type\n")
    preview = client.post(IMPORT, {"file": file})["Location"]
    pasted = {"yaml-text": "- step: {name: a, image: python}"}
    with apart.PLACES.taken(acme.pk, organization=acme.pk):
        for answer in (
            client.get(preview),
            client.get(f"{preview}errors.csv"),
            client.post(preview, {"fingerprint": "x"}),
            client.post(CHECK, pasted),
        ):
            assert Page(answer).status == 503
            assert "Other files are being read at the moment." in Page(answer).text
    assert client.get(preview).status_code == client.post(CHECK, pasted).status_code == 200
    assert apart.PLACES.held(acme.pk) == 0


# --- exports --------------------------------------------------------------------------


def close(answer) -> None:
    """As a server does, but for the signal, which would close the test's own connection."""
    for each in list(answer._resource_closers):
        each()


EXPORTS = ("/organizations/acme/registries/export/", "/organizations/acme/audit/export.csv")


@pytest.mark.parametrize("address", EXPORTS)
def test_an_export_holds_a_place_until_it_is_closed(client, alice, acme, make_entry, address):
    make_entry()
    client.force_login(alice)
    begun = client.get(address)
    assert exporting.PLACES.held(acme.pk) == 1
    next(iter(begun))
    second = client.get(address)
    page = Page(client.get(address))
    assert page.status == 503 and "Other exports are under way at the moment." in page.text
    close(begun)
    assert exporting.PLACES.held(acme.pk) == 1
    assert second.getvalue().count(b"\n") >= 2
    assert exporting.PLACES.held(acme.pk) == 0


def test_an_export_that_fails_or_is_never_begun_gives_it_back(client, alice, acme, monkeypatch):
    client.force_login(alice)
    close(client.get(EXPORTS[0]))
    assert exporting.PLACES.held(acme.pk) == 0

    def fail(entries):
        yield "half"
        raise RuntimeError

    monkeypatch.setitem(exporting.WRITERS, "csv", fail)
    with pytest.raises(RuntimeError):
        client.get(EXPORTS[0]).getvalue()
    assert exporting.PLACES.held(acme.pk) == 0


def test_exports_of_the_admin_count_for_the_person(client, staff, make_entry):
    entry = make_entry()
    client.force_login(staff)
    ticked = {"action": "export_csv", "_selected_action": [str(entry.pk)]}
    begun = [client.post("/admin/orgs/registryentry/", ticked) for _ in range(2)]
    assert client.post("/admin/orgs/registryentry/", ticked).status_code == 503
    for answer in begun:
        close(answer)
    assert exporting.PLACES.held(f"staff {staff.pk}") == 0


CHARSETS = ["punycode", "latin-1", "utf-7", "rot13", "zlib", "idna", "utf-16", "none-such"]


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_forms_come_in_utf_8_alone(client, charset, kind) -> None:
    """Python's punycode takes the square of a text's length, and zlib makes no text."""
    content = (
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n" + b"9" * 60_000 + b"\r\n--b--"
    )
    for address in (LOGIN, "/", "/healthz", "/admin/login/"):
        with effort.at_most(300):
            answer = client.generic("POST", address, content, f"{kind}; charset={charset}")
            assert answer.status_code in {400, 405}


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8"])
def test_utf_8_by_any_name(client, charset) -> None:
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    assert client.post(LOGIN, "username=a", content_type=kind).status_code == 200


def test_parts_are_counted_before_their_heads_are_read(client, alice, acme) -> None:
    """Those without a name count for nothing with Django, and cost the most."""
    client.force_login(alice)
    part = b"--b\r\nContent-Disposition:a;filename=x" + b";" * 900 + b"\r\n\r\n\r\n"
    for address in (IMPORT, CHECK, LOGIN):
        for count, statuses in ((bodies.MOST_PARTS + 2, {400}), (40, {200, 302})):
            with effort.at_most(1000):
                answer = client.generic(
                    "POST", address, part * count + b"--b--", "multipart/form-data; boundary=b"
                )
                assert answer.status_code in statuses


def test_health_reads_no_form(client) -> None:
    assert client.post("/healthz", {"a": "b"}).status_code == 405

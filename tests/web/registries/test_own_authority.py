"""An entry with an authority of its own: given by form, file, API and import, told as what it
is, answered and exported as what it holds, and dropped again."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from orgs.models import AuditEvent, RegistryEntry
from orgs.registries import authorities
from orgs.services.entries.history import history_of
from orgs.services.tenancy import tokens
from tests.api.conftest import Api
from tests.conftest import CANARY
from tests.support.certificates import authority, make_certificates

pytestmark = pytest.mark.django_db

PATH = "/api/v0/registry-credentials/"
NEW = "/organizations/acme/registries/new/?type=docker"
PEM, OTHER = authority(), authority()
(ONE,) = authorities.read(PEM)
TYPED = {
    "patterns": "registry.example.com/*",
    "registry_type": "docker",
    "username": "robot",
    "password": CANARY,
    "enabled": "on",
}


@pytest.fixture
def made(send, alice, acme) -> RegistryEntry:
    send(alice, NEW, {**TYPED, "ca_certificate": f"# Company\n{PEM}".replace("\n", "\r\n")})
    return acme.entries.get()


def edit(entry: RegistryEntry) -> str:
    return f"/organizations/acme/registries/{entry.pk}/edit/"


def test_pasted_and_shown_as_what_it_is(made, look, alice, bob) -> None:
    assert made.config == {"username": "robot", "ca_certificate": PEM}
    for who in (alice, bob):
        page = look(who, f"/organizations/acme/registries/{made.pk}/")
        assert ONE.fingerprint in page.text and f"until {ONE.ends:%Y-%m-%d}" in page.text
        assert "BEGIN CERTIFICATE" not in page.html
    form = look(alice, edit(made))
    assert form.texts["textarea"][1] == " ".join(PEM.split())


def test_a_file(send, alice, acme, tmp_path) -> None:
    file = SimpleUploadedFile("ca.pem", PEM.encode())
    send(alice, NEW, {**TYPED, "ca_certificate_file": file})
    assert acme.entries.get().config["ca_certificate"] == PEM


def test_what_is_wrong_with_a_file_is_told_and_shown_again(send, alice, acme, tmp_path) -> None:
    _, server_file = make_certificates(tmp_path, "registry.example.com")
    key = server_file.read_bytes()
    page = send(alice, NEW, {**TYPED, "ca_certificate_file": SimpleUploadedFile("key.pem", key)})
    assert "There is a private key in it" in page.text and not acme.entries.exists()
    empty = SimpleUploadedFile("empty.pem", b" \n")
    page = send(alice, NEW, {**TYPED, "ca_certificate_file": empty})
    assert "The file is empty" in page.text and not acme.entries.exists()


def test_an_untouched_one_is_nobodys_change(made, send, look, alice) -> None:
    """Browsers end lines in two letters, and what others wrote meanwhile stays."""
    form = look(alice, edit(made))
    typed = {**TYPED, "note": "mine", "shown": form.fields["shown"]["value"]}
    del typed["password"]
    RegistryEntry.objects.update(config={"username": "robot", "ca_certificate": OTHER})
    send(alice, edit(made), {**typed, "ca_certificate": PEM.replace("\n", "\r\n")})
    made.refresh_from_db()
    assert (made.config["ca_certificate"], made.note) == (OTHER, "mine")


def test_changed_and_dropped(made, send, look, alice) -> None:
    version = made.credentials_version
    for given, config in (
        (OTHER, {"username": "robot", "ca_certificate": OTHER}),
        ("", {"username": "robot"}),
    ):
        form = look(alice, edit(made))
        typed = {**TYPED, "shown": form.fields["shown"]["value"], "ca_certificate": given}
        del typed["password"]
        send(alice, edit(made), typed)
        made.refresh_from_db()
        assert made.config == config
    assert made.credentials_version == version + 2
    (dropped, changed, *_) = history_of(made)
    assert [c.label for c in changed.changes] == ["CA certificate"]
    assert ONE.fingerprint in (changed.changes[0].before or "")
    assert dropped.changes[0].after == "–"
    told = str(list(AuditEvent.objects.values("properties")))
    assert "BEGIN CERTIFICATE" not in told and ONE.fingerprint in told


@pytest.mark.parametrize("stored", ["MIIB", "END\nrm -rf /\n", PEM + "END\n", "-----BEGIN"])
def test_what_is_stored_and_cant_be_read_goes_nowhere(
    stored, made, client, alice, project, look
) -> None:
    RegistryEntry.objects.update(config={"username": "robot", "ca_certificate": stored})
    client.force_login(alice)
    setup = "/organizations/acme/workers/setup/"
    issue = "/organizations/acme/workers/issue/"
    given = {"name": "w", "environment": "", "expires_in": ""}
    for answer in (client.get(setup), client.post(issue, given)):
        page = answer.content.decode()
        assert "rm -rf" not in page and page.count("BEGIN CERTIFICATE") in {0, 4}
    told = look(alice, f"/organizations/acme/registries/{made.pk}/").text
    assert "CA certificate" in told and "rm -rf" not in told


def test_the_api_answers_it_only_where_it_is_set(alice, actor, acme) -> None:
    api = Api(tokens.token_issue_api(user=alice, name="s", actor=actor)[1])
    given = {"type": "docker", "image_pattern": "registry.example.com/*"}
    config = {"username": "robot", "password": CANARY}
    plain = api.post(PATH, {**given, "configuration": config}).json()
    assert plain["configuration"] == {"version": "1", "username": "robot"}
    one = f"{PATH}{plain['id']}/"
    held = {"username": "robot", "ca_certificate": PEM}
    assert api.send("PUT", one, {**given, "configuration": held}).json()["configuration"] == {
        "version": "1",
        **held,
    }
    left = api.send("PATCH", one, {"configuration": {"ca_certificate": ""}}).json()["configuration"]
    assert left == plain["configuration"]
    wrong = api.send("PATCH", one, {"configuration": {"ca_certificate": "MIIB"}})
    assert wrong.json()["ca_certificate"][0]["code"] == "authority_shape"


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_exported_and_read_back(made, acme, umbrella, format, tmp_path) -> None:
    written = tmp_path / f"entries.{format}"
    call_command("export_registries", organization="acme", format=format, output=str(written))
    text = written.read_text()
    assert "BEGIN CERTIFICATE" in text and CANARY not in text
    made.config = {"username": "robot"}
    made.save()
    call_command("import_registries", str(written), organization="acme", update=True)
    made.refresh_from_db()
    assert made.config == {"username": "robot", "ca_certificate": PEM}

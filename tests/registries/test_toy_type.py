"""A registry type is one module and one line: a toy walks through every door.

It has what is awkward about types to come: a secret of several lines, something that is read
out of it, an identity that members don't see, a code of its own, and a field that is called
like another type's but is something else.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.http import QueryDict

from orgs import checks
from orgs.api import limits
from orgs.forms.entry import entry_form
from orgs.models import AuditEvent, ImportDraft, RegistryEntry
from orgs.registries import catalogue, codes
from orgs.registries.private import private
from orgs.registries.problems import Failed, Problem, Refused
from orgs.registries.types import (
    AccessPolicy,
    DockerLogin,
    Field,
    Image,
    RegistryType,
    Shape,
    Travel,
)
from orgs.services.audit.log import Filters, events_of, export
from orgs.services.bulk.files import __main__ as reader
from orgs.services.bulk.files import apart
from orgs.services.entries.validating import secrets_of
from orgs.services.tenancy import mails, tokens
from orgs.web import guide
from tests.api.conftest import LOGIN, Api
from tests.conftest import CANARY
from tests.test_canary import database_bytes
from tests.web.conftest import NEW, Page, look, send, url

__all__ = ["look", "send"]
pytestmark = pytest.mark.django_db(transaction=True)

# --- the module -------------------------------------------------------------------


class Toy(RegistryType):
    """Logins of the toy shop, given to robots with a certificate."""

    slug = "toy"
    label = "Toy shop"
    short_label = "Toy"
    summary = "For robots with a certificate."
    travel = Travel.MINTED
    codes = {
        "shop_closed": codes.login(422, "The toy shop is closed.", codes.Kind.REFUSED),
        "robot_shape": codes.field("This isn't a robot."),
        "certificate_shape": codes.field("This isn't a certificate."),
        "no_toy_shop": codes.field("The host isn't the toy shop."),
        "floor_mismatch": codes.field("The pattern is on another floor."),
    }
    denied_fixes = {"shop_closed": "Give the robot the paper below."}
    fields = (
        Field(
            name="robot",
            label="Robot",
            example="robot-0001",
            hidden_from_members=True,
            shape=Shape(
                r"robot-[0-9]{4}", "robot_shape", "{value} isn't a robot.", "Write its name."
            ),
            echo=r"robot-[0-9]{1,4}",
        ),
        Field(
            name="certificate",
            label="Certificate and key",
            secret=True,
            lines=True,
            max_length=4000,
            paired_with="robot",
            shape=Shape(
                r"-----BEGIN TOY-----\n(.+\n)+-----END TOY-----",
                "certificate_shape",
                "This isn't a certificate of the toy shop.",
                "Paste all lines of it.",
            ),
        ),
        Field(
            name="region",
            label="Floor",
            required=False,
            choices=lambda: [("cellar", "Cellar"), ("attic", "Attic")],
            from_pattern=r"^[a-z*]+\.([a-z]+)\.toys\.example/",
        ),
    )

    derived = (Field("serial", "Serial number", hidden_from_members=True),)

    def clean_own(self, config, secrets, patterns):
        floors = {pattern.host.split(".")[1] for pattern in patterns}
        problems = [
            Problem("no_toy_shop", f"{p.host} isn't the toy shop.", "Write its own.", "patterns")
            for p in patterns
            if not p.host.endswith(".toys.example")
        ]
        if not problems and config["region"] and {config["region"]} != floors:
            problems.append(Problem("floor_mismatch", "That's another floor.", "Go up.", "region"))
        region = config["region"] or min(floors, default="")
        lines = secrets.get("certificate", "").splitlines()
        serial = {"serial": lines[-2]} if len(lines) > 2 else {}
        return config | {"region": region} | serial, secrets, problems

    def secret_scope(self, config, patterns):
        return frozenset({"toys.example"})

    def example_host(self, pattern):
        return pattern.authority.replace("*", "teddy")

    def policy(self, config, patterns):
        document = json.dumps({"robot": config.get("robot", ""), "may": [str(p) for p in patterns]})
        return AccessPolicy("toy-paper", "the robot", document, "")

    def login(self, config, secrets, ask):
        assert ask.endpoint_url == ""
        if ask.host.startswith("closed."):
            whose = private(f" {config['robot']}")
            raise Failed("shop_closed", f"The toy shop sends{whose} away.", "Come on Monday.")
        lines = secrets["certificate"].splitlines()
        assert lines[0] == "-----BEGIN TOY-----" and len(lines) == 4
        soon = datetime.now(UTC) + timedelta(hours=1)
        return DockerLogin(config["robot"], f"wind-up-{len(lines)}", soon)

    def lister(self, config, secrets, ask):
        return Shelf()


class Shelf:
    def repositories(self):
        return ["bear"]

    def images(self, repository):
        return [Image(repository, "v1")]


# --- and the line -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setitem(catalogue.BY_SLUG, Toy.slug, Toy())
    # Its guide page, beside the others.
    for page in guide.FOLDER.glob("*.md"):
        (tmp_path / page.name).write_text(page.read_text())
    (tmp_path / "toy.md").write_text("# Toy shop\n\nWind the robot up.\n")
    monkeypatch.setattr(guide, "FOLDER", tmp_path)
    guide._read_once.cache_clear()
    # A process of its own would find the line in the catalogue's file.
    monkeypatch.setattr(apart, "_run", lambda *given: b"".join(reader.told(*given)))
    monkeypatch.setattr(limits, "buckets", limits.Buckets())
    yield
    guide._read_once.cache_clear()


PATTERN = "teddy.attic.toys.example/*"
ROBOT, OTHER = "robot-0001", "robot-0002"
SECRET = f"-----BEGIN TOY-----\n{CANARY}\nsecond line\n-----END TOY-----"
TYPED = {
    "patterns": PATTERN,
    "registry_type": "toy",
    "robot": f"  {ROBOT} ",
    # as browsers send it
    "certificate": f"{SECRET}\n".replace("\n", "\r\n"),
    "region": "",
    "enabled": "on",
    "note": "",
}
BODY = {
    "type": "toy",
    "image_pattern": PATTERN,
    "configuration": {"robot": ROBOT, "certificate": SECRET},
}


@pytest.fixture(autouse=True)
def canary_nowhere(caplog, capsys, django_db_blocker):
    caplog.set_level(logging.DEBUG)
    yield
    mails.drain()
    told = capsys.readouterr()
    assert CANARY not in caplog.text + told.out + told.err
    assert CANARY not in str(list(AuditEvent.objects.values()))
    assert CANARY.encode() not in database_bytes()


@pytest.fixture
def entry(make_entry):
    return make_entry(
        PATTERN, registry_type="toy", config={"robot": ROBOT}, secrets={"certificate": SECRET}
    )


@pytest.fixture
def script(alice, actor) -> Api:
    days = timedelta(days=1)
    return Api(tokens.token_issue_api(user=alice, name="s", actor=actor, expires_in=days)[1])


@pytest.fixture
def worker(acme, actor) -> Api:
    return Api(tokens.token_issue_worker(organization=acme, name="w", actor=actor)[1])


def is_whole(entry: RegistryEntry) -> bool:
    entry.refresh_from_db()
    told = (entry.config, secrets_of(entry))
    config = {"robot": ROBOT, "region": "attic", "serial": "second line"}
    return told == (config, {"certificate": SECRET})


# --- the web ----------------------------------------------------------------------


def test_the_form_has_its_fields(look, alice) -> None:
    page = look(alice, NEW, type="toy")
    assert "Toy shop" in page.texts["option"] and "For robots with a certificate." in page.text
    assert {"Robot", "Certificate and key", "Floor"} <= set(page.texts["label"])
    assert page.texts["option"][-3:] == ["From the pattern", "Cellar", "Attic"]
    secret, floor = page.fields["certificate"], page.fields["region"]
    assert "rows" in secret and "data-secret" in secret and "data-helps" not in secret
    assert secret["autocomplete"] == "new-password"
    assert floor["data-from-pattern"] == Toy.fields[2].from_pattern and "data-helps" in floor
    guided = look(alice, page.links["Guide: Toy shop, in a new tab"])
    assert guided.heading == "Toy shop" and "Wind the robot up." in guided.text


def test_add(look, send, alice, acme, client) -> None:
    send(alice, NEW, TYPED)
    made = acme.entries.get()
    assert is_whole(made)
    page = look(alice, url("entry", made))
    assert "Toy shop" in page.text and ROBOT in page.text and "toy-paper" in page.text
    assert "Serial number" in page.texts["dt"] and "second line" in page.texts["dd"]
    assert "image: teddy.attic.toys.example/my-ml-image:v1.0" in page.texts["code"]
    assert CANARY not in page.html and CANARY not in str(dict(client.session))


@pytest.mark.parametrize(
    ("changed", "name", "says"),
    [
        ({"robot": ""}, "robot", "Robot is empty. Enter it."),
        ({"robot": "robot-1"}, "robot", "robot-1 isn't a robot. Write its name."),
        ({"robot": CANARY}, "robot", "This isn't a robot. Write its name."),
        ({"certificate": ""}, "certificate", "Certificate and key is empty. Enter it."),
        ({"certificate": CANARY}, "certificate", "isn't a certificate of the toy shop."),
        ({"region": "cellar"}, "region", "That's another floor. Go up."),
        ({"patterns": "quay.io/*"}, "patterns", "quay.io isn't the toy shop."),
        ({"patterns": "x y"}, "patterns", ""),
    ],
)
def test_what_is_wrong_is_told_at_its_field(changed, name, says, send, alice, acme) -> None:
    page = send(alice, NEW, TYPED | changed)
    assert page.wrong == {name} and says in page.error(name)
    assert CANARY not in page.html and not acme.entries.exists()
    assert changed.get("certificate") == "" or "Enter it again before saving." in page.text


def test_its_several_lines_are_never_written_back(acme) -> None:
    typed = QueryDict(mutable=True)
    typed.update(TYPED)
    form = entry_form(catalogue.BY_SLUG["toy"])(typed, organization=acme)
    assert CANARY not in str(form["certificate"]) and "<textarea" in str(form["certificate"])


def test_edit(look, send, alice, entry) -> None:
    edit = url("entry_edit", entry)
    page = look(alice, edit)
    assert "certificate" not in page.fields and page.fields["robot"]["value"] == ROBOT
    assert "unless the Robot changes" in page.text
    assert CANARY not in look(alice, f"{edit}?replace=1").html
    blank = {**TYPED, "note": "kept"}
    del blank["certificate"]
    send(alice, edit, blank)
    assert is_whole(entry) and entry.note == "kept" and entry.credentials_version == 1
    page = send(alice, edit, blank | {"robot": OTHER})
    assert page.error("certificate").startswith("Robot changed, so its Certificate and key")
    other = SECRET.replace("second", "another")
    send(alice, edit, TYPED | {"robot": OTHER, "certificate": other})
    entry.refresh_from_db()
    assert entry.config["robot"] == OTHER and entry.credentials_version == 2
    assert secrets_of(entry) == {"certificate": other}
    history = look(alice, url("entry", entry)).text
    assert f"Robot: {ROBOT} → {OTHER}" in history and "Secret: changed" in history
    assert "Serial number: second line → another line" in history


def test_a_key_that_fails_doesnt_replace_one_that_works(send, alice, make_entry) -> None:
    entry = make_entry(
        "closed.attic.toys.example/*", registry_type="toy", config={"robot": ROBOT},
        secrets={"certificate": SECRET},
    )  # fmt: skip
    page = send(alice, url("entry_edit", entry), TYPED | {
        "patterns": "closed.attic.toys.example/*", "robot": OTHER})  # fmt: skip
    assert f"The toy shop sends {OTHER} away." in page.error("certificate")
    assert CANARY not in page.html and is_whole(entry)


def test_another_types_field_of_the_same_name(send, look, alice, entry, actor) -> None:
    """The label is this type's, in the form, in the history and in the log."""
    assert "Region" not in look(alice, url("entry_edit", entry)).texts["label"]
    assert "Region" in look(alice, NEW, type="aws-ecr").texts["label"]
    send(alice, url("entry_edit", entry), TYPED | {"patterns": "bear.cellar.toys.example/*"})
    assert "Floor: attic → cellar" in look(alice, url("entry", entry)).text


def test_help_while_typing(look, send, alice) -> None:
    typed = {"registry_type": "toy", "patterns": PATTERN, "region": ""}
    page = send(alice, f"{NEW[:-4]}help/", typed)
    assert "toy-paper" in page.html and "wanting" not in page.html
    page = send(alice, f"{NEW[:-4]}help/", typed | {"region": "cellar"})
    assert "That&#x27;s another floor. Go up." in page.html
    page = send(alice, f"{NEW[:-4]}help/", typed | {"patterns": "quay.io/x"})
    assert "quay.io isn&#x27;t the toy shop." in page.html


def test_members_see_it_without_the_identity(look, alice, bob, entry) -> None:
    for address in (url("entry", entry), "/organizations/acme/registries/"):
        page = look(bob, address)
        assert "Toy shop" in page.text and ROBOT not in page.html
        assert "second line" not in page.html
    listed = "/organizations/acme/registries/"
    assert PATTERN in look(alice, listed, q=ROBOT).html
    assert f">{PATTERN}<" not in look(bob, listed, q=ROBOT).html
    assert "teddy" not in look(bob, listed, q=ROBOT).text


# --- the admin --------------------------------------------------------------------


def test_the_admin(client, staff, acme) -> None:
    client.force_login(staff)
    add = f"/admin/orgs/registryentry/add/?organization={acme.pk}"
    page = Page(client.get(f"{add}&type=toy"))
    assert "Certificate and key" in page.text and "rows" in page.fields["certificate"]
    page = Page(client.post(add, TYPED | {"robot": "robot-1"}))
    assert "robot-1 isn't a robot" in page.error("robot") and CANARY not in page.html
    client.post(add, TYPED)
    made = acme.entries.get()
    assert is_whole(made)
    change = f"/admin/orgs/registryentry/{made.pk}/change/"
    page = Page(client.get(change))
    assert ROBOT in page.html and CANARY not in page.html
    page = Page(client.post(change, {**TYPED, "certificate": "", "robot": OTHER}))
    assert "Robot changed" in page.error("certificate")
    client.post(change, {**TYPED, "certificate": "", "note": "by staff"})
    assert is_whole(made) and made.note == "by staff"
    for words, found in ((ROBOT, True), (OTHER, False)):
        listed = Page(client.get(f"/admin/orgs/registryentry/?q={words}"))
        assert ("teddy" in listed.text) is found


# --- the API ----------------------------------------------------------------------


def test_the_api(script, acme) -> None:
    path = "/api/v0/registry-credentials/"
    windows = BODY | {"configuration": {"robot": ROBOT, "certificate": f"{SECRET}\r\n"}}
    made = script.post(path, windows)
    assert made.status_code == 201, made.content
    shown = {"version": "1", "robot": ROBOT, "region": "attic"}
    assert made.json()["configuration"] == shown and is_whole(acme.entries.get())
    one = f"{path}{made.json()['id']}/"
    assert script.get(one).json()["configuration"] == shown
    without = BODY | {"configuration": {"robot": ROBOT}}
    for body in (BODY, without):
        assert script.send("PUT", one, body).status_code == 200
    assert is_whole(acme.entries.get()) and acme.entries.get().credentials_version == 1
    refused = script.send("PUT", one, BODY | {"configuration": {"robot": OTHER}})
    assert [p["code"] for p in refused.json()["certificate"]] == ["secret_required"]
    refused = script.post(path, BODY | {"configuration": {"robot": "x", "certificate": CANARY}})
    assert {name: told[0]["code"] for name, told in refused.json().items()} == {
        "robot": "robot_shape",
        "certificate": "certificate_shape",
    }
    assert CANARY not in refused.content.decode()


# --- files ------------------------------------------------------------------------


def _file(format: str) -> bytes:
    row = {"image_pattern": PATTERN, "type": "toy", "robot": ROBOT, "certificate": SECRET}
    if format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, row)
        writer.writeheader()
        writer.writerow(row)
        return text.getvalue().encode()
    nested = {"image_patterns": [PATTERN], "type": "toy", "configuration": BODY["configuration"]}
    return (json.dumps([nested]) if format == "json" else yaml.safe_dump([row])).encode()


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_import_export_and_back(format, acme, tmp_path, capsys) -> None:
    given, written = tmp_path / f"in.{format}", tmp_path / f"out.{format}"
    given.write_bytes(_file(format))
    call_command("import_registries", str(given), organization="acme")
    made = acme.entries.get()
    assert is_whole(made)
    call_command("export_registries", organization="acme", format=format, output=str(written))
    assert ROBOT in written.read_text() and CANARY not in written.read_text()
    for again in (given, written):
        call_command("import_registries", str(again), organization="acme", update=True)
    assert is_whole(acme.entries.get()) and acme.entries.get().credentials_version == 1


def test_import_on_the_web(look, client, alice, acme) -> None:
    page = look(alice, "/organizations/acme/registries/import/")
    assert {"robot", "certificate"} <= set(page.texts["code"]) and "Toy shop" in page.text
    header = client.get("/organizations/acme/registries/import/template.csv").getvalue().decode()
    assert header.count("region") == 1 and "robot,certificate" in header
    wrong = _file("csv").replace(ROBOT.encode(), b"robot-1") + f"x,toy,{CANARY},y\n".encode()
    for content in (wrong, _file("csv")):
        file = io.BytesIO(content)
        file.name = "toys.csv"
        client.post("/organizations/acme/registries/import/", {"file": file})
        preview = f"/organizations/acme/registries/import/{ImportDraft.objects.get().pk}/"
        page = look(alice, preview)
        assert CANARY not in page.html and CANARY[:12] not in page.html
        assert ("robot-1 isn't a robot." in page.text) is (content is wrong)
    client.post(preview, {"fingerprint": page.fields["fingerprint"]["value"]})
    assert is_whole(acme.entries.get())


# --- logins -----------------------------------------------------------------------


def test_a_login(worker, project, entry, settings) -> None:
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"  # none of its business
    asked = {"project": str(project.pk), "image": "teddy.attic.toys.example/bear:v1"}
    answer = worker.post(LOGIN, asked)
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["kind"], told["username"], told["password"]) == ("docker", ROBOT, "wind-up-4")
    call_command("rotate_secrets")
    RegistryEntry.objects.get().cached_logins.all().delete()
    assert worker.post(LOGIN, asked).json()["password"] == "wind-up-4"


def test_its_own_code(worker, project, make_entry, look, alice, bob, client, acme) -> None:
    """Job logs and members get the sentence without the identity; org admins with it."""
    entry = make_entry(
        "*.attic.toys.example/*", registry_type="toy", config={"robot": ROBOT},
        secrets={"certificate": SECRET},
    )  # fmt: skip
    image = "closed.attic.toys.example/bear:v1"
    for _ in range(2):  # asked, and remembered
        answer = worker.post(LOGIN, {"project": str(project.pk), "image": image})
        assert (answer.status_code, answer.json()["code"]) == (422, "shop_closed")
        assert answer.json()["detail"] == "The toy shop sends away. Come on Monday."
    overview = "/organizations/acme/"
    assert f"The toy shop sends {ROBOT} away." in look(alice, overview).text
    for address in (overview, url("entry", entry)):
        page = look(bob, address)
        assert "The toy shop sends away." in page.text and ROBOT not in page.html
    log = look(alice, "/organizations/acme/audit/")
    assert f"The toy shop sends {ROBOT} away." in log.text
    exported = "".join(export(events_of(acme, Filters())))
    assert f"The toy shop sends {ROBOT} away." in exported


def test_verify(client, look, alice, bob, entry, make_entry) -> None:
    wide = make_entry(
        "*.attic.toys.example/*", registry_type="toy", config={"robot": ROBOT},
        secrets={"certificate": SECRET},
    )  # fmt: skip
    client.force_login(alice)
    client.post(url("entry_verify", wide))
    wide.refresh_from_db()
    assert wide.status == "verified"
    client.post(url("entry_verify", wide), {"image": "closed.attic.toys.example/bear"})
    page = look(alice, url("entry", wide))
    assert f"The toy shop sends {ROBOT} away. Give the robot the paper below." in page.text
    page = look(bob, url("entry", wide))
    assert "The toy shop sends away." in page.text and ROBOT not in page.html
    images = look(alice, url("entry_images", entry))
    assert "bear" in images.text


# --- what is checked of every type -----------------------------------------------


def test_a_type_without_a_guide_or_with_a_name_that_is_taken(monkeypatch) -> None:
    assert [m.id for m in checks.registry_types(None)] == ["orgs.E008"]
    assert not (settings.BASE_DIR / "docs" / "guide" / "toy.md").exists()

    class Mixed(Toy):
        slug = "docker-mixed"
        fields = (Field("username", "Username", secret=True), Field("note", "Note"))

    monkeypatch.setitem(catalogue.BY_SLUG, "mixed", Mixed())
    found = [m.msg for m in checks.registry_types(None) if m.id == "orgs.E007"]
    # Of all types that have a username as well; the mixed one is among them by now.
    of_username = [t.slug for t in catalogue.TYPES if any(f.name == "username" for f in t.fields)]
    assert "docker" in of_username and found == [
        *(f"{slug} can't have a field username." for slug in of_username),
        "docker-mixed can't have a field note.",
    ]


def test_its_codes_are_listed(client, look, alice) -> None:
    told = client.get("/api/v0/openapi.json").json()["components"]["schemas"]
    listed = {
        n: told[n]["properties"]["code"]["x-extensible-enum"] for n in ("Error", "FieldError")
    }
    assert "shop_closed" in listed["Error"] and "robot_shape" in listed["FieldError"]
    page = look(alice, "/organizations/acme/audit/")
    assert '<option value="shop_closed">The toy shop is closed.</option>' in page.html


def test_a_type_whose_code_is_in_no_table(monkeypatch) -> None:
    class Forgetful(Toy):
        slug = "forgetful"
        codes = {"no_match": codes.field("It's none of its own.")}

    monkeypatch.delitem(catalogue.BY_SLUG, Toy.slug)
    monkeypatch.setitem(catalogue.BY_SLUG, "forgetful", Forgetful())
    found = [m.msg for m in checks.registry_types(None) if m.id == "orgs.E009"]
    assert found == [
        "forgetful tells certificate_shape, which no table of codes has.",
        "forgetful tells robot_shape, which no table of codes has.",
        "forgetful tells shop_closed, which no table of codes has.",
        "forgetful can't have a code no_match of its own.",
    ]


def test_what_is_declared_is_what_is_held() -> None:
    config, secrets = Toy().clean({"robot": f"\t{ROBOT}\n"}, {"certificate": SECRET}, [])
    assert config["robot"] == ROBOT and secrets == {"certificate": SECRET}
    with pytest.raises(Refused) as refused:
        Toy().clean({"robot": ""}, {"certificate": SECRET.replace(CANARY, CANARY * 200)}, [])
    assert [p.code for p in refused.value.problems] == ["required", "too_long"]
    assert CANARY not in str(refused.value)

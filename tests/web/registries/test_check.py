"""*Check an image*: the sentence, the others and why not, shareable; and whole files."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from orgs.api.errors import _help
from orgs.models import AuditEvent, RegistryEntry
from orgs.registries.private import private, whole
from orgs.services.audit.events import Actor, record
from orgs.services.bulk.files.valohai_yaml import MAX_BYTES
from tests.conftest import HOST
from tests.web.conftest import Page

CHECK = "/organizations/acme/registries/check/"
IMAGE = f"{HOST}/my-ml-image:v1.0"


def test_the_sentence_and_the_others(look, alice, bob, staff, gpu, make_entry) -> None:
    make_entry()
    winner = make_entry(f"{HOST}/my-*")
    make_entry(f"{HOST}/my-ml-image", environments=[gpu])
    make_entry(f"{HOST}/my-ml-*", enabled=False)
    make_entry(f"{HOST}/other")
    RegistryEntry.objects.filter(pk=winner.pk).update(status="verified")
    for who in (alice, bob, staff):
        page = look(who, CHECK, image=f" {IMAGE} ")
        sentence = f"{IMAGE} is served by {HOST}/my-* (AWS ECR (IAM credentials), verified)."
        assert sentence in page.text
        assert page.texts["tr"][1:] == [
            f"{HOST}/my-* All ✓ Serves it",
            f"{HOST}/* All Less specific",
            f"{HOST}/other All Other repository",
            f"{HOST}/my-ml-image GPU Other environment",
            f"{HOST}/my-ml-* All Disabled",
        ]
        assert "AKIA" not in page.html
    page = look(bob, CHECK, image=IMAGE, environment="gpu")
    assert f"is served by {HOST}/my-ml-image (" in page.text
    assert not AuditEvent.objects.filter(action__startswith="login").exists()


def test_before_anything_is_asked(look, bob, gpu) -> None:
    page = look(bob, CHECK, environment="gpu")
    assert page.heading == "Which entry serves this image?" and page.wrong == set()
    assert "result" not in page.by_id
    assert '<option value="gpu" selected>' in page.html
    assert look(bob, "/organizations/acme/registries/").links["Check an image"] == CHECK


def test_nothing_serves_it(look, alice, bob, acme) -> None:
    page = look(alice, CHECK, image=IMAGE)
    assert f"No enabled entry of Acme serves {IMAGE}." in page.text
    assert f"If it's private, add an entry with {HOST}/*; public images need none." in page.text
    add = page.links["Add an entry for it"]
    assert look(alice, add).texts["textarea"] == [f"{HOST}/*"]
    page = look(bob, CHECK, image=IMAGE)
    assert f"If it's private, ask Alice to add an entry with {HOST}/*;" in page.text
    assert "Add an entry for it" not in page.links


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("", "Image is empty."),
        (f"https://{IMAGE}", f"Write {IMAGE}."),
        ("a" * 64, "an image's ID"),
        ("two words", "no blanks"),
        ("x" * 2001, "2000"),
        ("ímage", "Only ASCII"),
        ("<script>alert(1)</script>", ""),
    ],
)
def test_what_is_no_image(image, says, look, bob, acme) -> None:
    page = look(bob, CHECK, image=image)
    assert page.status == 200 and page.title.startswith("Error: ") and page.wrong == {"image"}
    assert says in page.error("image")
    assert page.brief("image").startswith("Image: ")
    assert "<script>alert" not in page.html


def test_an_unknown_environment(look, bob, gpu, umbrella) -> None:
    umbrella.environments.create(name="Labs", slug="labs")
    for slug in ("nowhere", "labs", "x" * 300, str(gpu.pk)):
        page = look(bob, CHECK, image=IMAGE, environment=slug)
        assert page.wrong == {"environment"}, slug
    # Where there are none, one in the link is no matter.


def test_other_organizations_entries_stay_theirs(look, bob, umbrella, make_entry) -> None:
    make_entry(organization=umbrella)
    page = look(bob, CHECK, image=IMAGE)
    assert "No enabled entry of Acme serves" in page.text and "tr" not in page.texts


def test_the_address_of_help_leads_here(rf, look, bob, acme, gpu, make_entry, actor) -> None:
    """What the API names as help is this page, filled in."""
    from orgs.services.tenancy import tokens

    make_entry(environments=[gpu])
    asked = {"image": IMAGE, "environment": "gpu"}
    request = rf.post("/", asked, content_type="application/json")
    request.auth, _ = tokens.token_issue_worker(organization=acme, name="w", actor=actor)
    address = re.sub(r"^http://[^/]+", "", _help(request))
    assert f"{IMAGE} is served by {HOST}/*" in look(bob, address).text


# --- a whole file -------------------------------------------------------------

YAML = f"""\
- step:
    name: train
    image: {IMAGE}
- step:
    name: fetch
    image: registry.example.com/x
- step: {{name: none}}
- endpoint: {{name: serve, image: python:3.12}}
- endpoint: {{name: none, image: replaced}}
- endpoint: {{name: none, image: python:3.13}}
"""


def rows(page: Page) -> list[str]:
    return page.texts["tr"][1:]


def test_pasted_and_uploaded(client, look, alice, bob, make_entry) -> None:
    make_entry()
    private = "✕ No entry No enabled entry serves it. If it's private, add an entry with "
    wanted = [
        f"3 step train {IMAGE} ✓ Served {HOST}/*",
        f"6 step fetch registry.example.com/x {private}registry.example.com/*.",
        "7 step none – ✕ Not valid It has no image. Name one under “image:”.",
        "8 endpoint serve python:3.12 No entry. Images of docker.io are usually public and need"
        " none.",
        "10 endpoint none python:3.13 No entry. Images of docker.io are usually public and need"
        " none.",
    ]
    client.force_login(bob)
    pasted = Page(client.post(CHECK, {"yaml-text": YAML}))
    assert rows(pasted) == wanted
    assert "5 images: 1 served, 2 public, 1 without an entry, 1 not valid." in pasted.texts["h2"]
    assert "Line 10: The endpoint “none” stands on line 9 already" in pasted.text
    file = SimpleUploadedFile("valohai.yaml", YAML.encode(), "application/yaml")
    assert rows(Page(client.post(CHECK, {"yaml-file": file}))) == wanted
    client.force_login(alice)
    page = Page(client.post(CHECK, {"yaml-text": YAML}))
    assert page.links["Add an entry for it"].endswith(
        "?type=docker&pattern=registry.example.com/%2A"
    )


def test_for_an_environment(client, alice, gpu, make_entry) -> None:
    make_entry(environments=[gpu])
    client.force_login(alice)
    text = f"- step: {{name: a, image: {IMAGE}}}"
    assert "✕ No entry" in rows(Page(client.post(CHECK, {"yaml-text": text})))[0]
    page = Page(client.post(CHECK, {"yaml-text": text, "yaml-environment": "gpu"}))
    assert "✓ Served" in rows(page)[0]


def test_what_is_no_valohai_yaml(client, alice, acme) -> None:
    client.force_login(alice)

    def refused(**sent) -> Page:
        page = Page(client.post(CHECK, {f"yaml-{name}": value for name, value in sent.items()}))
        assert page.status == 200 and page.title.startswith("Error: ")
        assert "report" not in page.by_id
        return page

    assert "There is no file." in refused().error("yaml-file")
    assert "There is no file." in refused(text="  \n").error("yaml-file")
    assert "The file is empty." in refused(file=SimpleUploadedFile("a", b"")).error("yaml-file")
    broken = refused(text="- step: [\n")
    assert "Line 2: This isn't YAML" in broken.error("yaml-text")
    assert broken.texts["textarea"][0].startswith("- step: [")
    large = SimpleUploadedFile("a.yaml", b"- " + b"x" * MAX_BYTES)
    assert "larger than 1 MB" in refused(file=large).error("yaml-file")
    latin = SimpleUploadedFile("a.yaml", "- é".encode("latin-1"))
    assert "UTF-8" in refused(file=latin).error("yaml-file")


def test_what_is_pasted_is_bounded(client, alice, acme) -> None:
    client.force_login(alice)
    answer = client.post(CHECK, {"yaml-text": "x" * 1_100_000})
    assert answer.status_code == 400 and Page(answer).heading == "Not understood"


# --- from the overview --------------------------------------------------------


def test_refused_logins_lead_here(look, alice, bob, acme, project, gpu, make_entry) -> None:
    make_entry(environments=[gpu])
    told = f"AWS doesn't know the key{private(' AKIAIOSFODNN7EXAMPLE')}, or it's inactive."
    for number in range(7):
        record(
            actor=Actor("worker w"),
            action="login.refused",
            organization=acme,
            project=project,
            subject=f"{HOST}/image-{number}:v1",
            code="invalid_key",
            properties={"reason": told, "environment": "gpu"},
        )
    record(actor=Actor("worker w"), action="login.refused", organization=acme, subject=HOST)
    overview = "/organizations/acme/"
    page = look(alice, overview)
    assert "Last refused logins" in page.texts["h2"]
    assert f"{whole(told)} (first-project, just now)" in page.text
    assert f"{HOST}/image-6:v1" in page.text and f"{HOST}/image-2:v1" not in page.text
    link = page.links[f"Explain {HOST}/image-6:v1"]
    assert f"{HOST}/image-6:v1 is served by {HOST}/*" in look(alice, link).text
    assert f"Explain {HOST}" not in page.links
    members = look(bob, overview)
    assert "AWS doesn't know the key, or it's inactive." in members.text
    assert "AKIA" not in members.html


def test_checklist_and_tokens_that_end(look, alice, bob, acme, make_entry, actor) -> None:
    from datetime import timedelta

    from orgs.services.tenancy import tokens

    overview = "/organizations/acme/"
    page = look(alice, overview)
    assert page.links["Issue a worker token"] == "/organizations/acme/workers/issue/"
    assert "Issue a worker token" not in look(bob, overview).links
    token, _ = tokens.token_issue_worker(
        organization=acme, name="ending soon", actor=actor, expires_in=timedelta(days=5)
    )
    tokens.token_issue_worker(
        organization=acme, name="long lived", actor=actor, expires_in=timedelta(days=50)
    )
    page = look(alice, overview)
    assert "Issue a worker token" not in page.links
    assert "This worker token expires in 5 days." in page.text and "long lived" not in page.text
    type(token).objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert "This worker token expired 1 day ago." in look(alice, overview).text
    tokens.token_revoke(token=token, actor=actor)
    assert "ending soon" not in look(alice, overview).text


def test_projects_and_members(look, alice, bob, project) -> None:
    page = look(bob, "/organizations/acme/projects/")
    assert "first-project" in page.text and str(project.pk) in page.text
    page = look(bob, "/organizations/acme/members/")
    assert page.texts["tr"][1:] == [
        "Alice alice@example.com Org admin",
        "Bob (you) bob@example.com Member",
    ]

"""What is pasted into the pages: mended where there is no doubt, else told with what to write."""

from __future__ import annotations

import pytest
from django.utils.html import escape

from orgs.models import RegistryEntry
from orgs.registries.catalogue import TYPES
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW, TYPED

CHECK = "/organizations/acme/registries/check/"
DOCKER = {
    **TYPED,
    "registry_type": "docker",
    "username": "me",
    "password": CANARY,
}


@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        ("\ufeffghcr.io/acme/*\u200b", ["ghcr.io/acme/*"]),
        (' "ghcr.io/acme/*", ', ["ghcr.io/acme/*"]),
        ("“ghcr.io/acme/*”", ["ghcr.io/acme/*"]),
        ("ghcr.io/acme/*, quay.io/org/*;", ["ghcr.io/acme/*", "quay.io/org/*"]),
        ('"ghcr.io/acme/*",\r\n"quay.io/org/*"\r\n', ["ghcr.io/acme/*", "quay.io/org/*"]),
    ],
)
def test_what_is_around_a_pattern_is_cut_off(typed, saved, send, alice, acme) -> None:
    send(alice, NEW, DOCKER | {"patterns": typed})
    assert RegistryEntry.objects.get().pattern_texts == saved


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("docker pull ghcr.io/acme/train:v1",
         "This is a whole command. Write ghcr.io/acme/train."),
        ('- image: "ghcr.io/acme/train:v1"',
         "This is a setting, and not only its value. Write ghcr.io/acme/train."),
        ("FROM ghcr.io/acme/train AS base",
         "This is a line of a Dockerfile. Write ghcr.io/acme/train."),
        ("https://hub.docker.com/r/me/train", "Write docker.io/me/train."),
        ("hub.docker.com/r/me/train",
         "hub.docker.com is a web site, no registry. Write docker.io/me/train."),
        ("quay.io/repository/org/x", "Write quay.io/org/x."),
        ("https://index.docker.io/v1/",
         "Write whose images, such as docker.io/your-team/*; docker.io/* covers everybody's."),
        ("docker login -u me -p hunter2.x ghcr.io", "such as ghcr.io/your-team/*"),
        (f"arn:aws:ecr:us-east-1:{HOST[:12]}:repository/x1",
         f"Choose AWS ECR as the registry type, with {HOST}/x1."),
    ],
)  # fmt: skip
def test_the_form_tells_what_to_write(typed, sentence, send, alice, acme) -> None:
    page = send(alice, NEW, DOCKER | {"patterns": typed})
    assert sentence in page.error("patterns"), page.error("patterns")
    assert page.wrong == {"patterns"} and "hunter2" not in page.error("patterns")
    assert not RegistryEntry.objects.exists()


def test_an_arn_says_all_that_an_ecr_entry_needs(send, alice, acme) -> None:
    arn = f"arn:aws:ecr:us-east-1:{HOST[:12]}:repository/my-repo"
    page = send(alice, NEW, TYPED | {"patterns": arn})
    assert page.error("patterns") == (
        f"This is the ARN of an ECR repository. Write {HOST}/my-repo."
    )
    page = send(alice, NEW, TYPED | {"patterns": "https://ghcr.io/acme/*"})
    assert page.error("patterns").startswith(
        "Patterns have no scheme, so “https://” can't be part of one. "
        "ghcr.io isn't an Amazon ECR host, so no AWS login will go there."
    )


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_the_example_is_of_the_chosen_type(kind, look, alice, acme) -> None:
    page = look(alice, NEW, type=kind.slug)
    assert page.by_id["pattern-example"] == f"Example: {kind.example_pattern}"
    others = {other.example_pattern for other in TYPES} - {kind.example_pattern}
    assert not any(f"Example: {other}" in page.text for other in others)
    # What the script puts there as the type changes.
    fields = look(alice, NEW, type=kind.slug, fields="1")
    assert fields.texts["template"][0] == f"Example: {kind.example_pattern}"


@pytest.mark.parametrize(
    ("image", "kind", "pattern"),
    [
        (f"{HOST}/x1:v1", "aws-ecr", f"{HOST}/*"),
        ("ghcr.io/acme/train:v1", "docker", "ghcr.io/acme/*"),
        ("me/train", "docker", "docker.io/me/*"),
        (" “ghcr.io/acme/train:v1”\u200b", "docker", "ghcr.io/acme/*"),
    ],
)
def test_the_link_leads_to_a_form_that_takes_it(image, kind, pattern, look, alice, acme) -> None:
    page = look(alice, CHECK, image=image)
    assert f"add an entry with {pattern}; public" in page.text
    form = look(alice, page.links["Add an entry for it"])
    assert form.texts["textarea"][0] == pattern
    assert f'<option value="{kind}" selected>' in form.html
    assert "wanting" not in form.html


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("public.ecr.aws/acme/x",
         "Images of public.ecr.aws are public and need no entry; one of the type AWS ECR Public "
         "pulls them by higher limits."),
        ("hub.docker.com/r/me/x",
         "hub.docker.com is a web site, no registry: ask for docker.io/me/x."),
    ],
)  # fmt: skip
def test_where_no_entry_would_help_none_is_offered(image, sentence, look, alice, bob, acme) -> None:
    for who in (alice, bob):
        page = look(who, CHECK, image=image)
        assert sentence in page.text
        assert "Add an entry for it" not in page.links and "add an entry with" not in page.text


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("docker pull ghcr.io/acme/train:v1",
         "This is a whole command. Write ghcr.io/acme/train:v1."),
        ("https://hub.docker.com/r/me/train", "Write docker.io/me/train."),
        ("image: ghcr.io/acme/train:v1", "Write ghcr.io/acme/train:v1."),
    ],
)  # fmt: skip
def test_check_an_image_tells_what_to_write(image, sentence, look, bob, acme) -> None:
    assert sentence in look(bob, CHECK, image=image).error("image")


def test_help_while_typing_tells_a_web_site(look, client, alice, acme) -> None:
    client.force_login(alice)
    sent = {"patterns": "hub.docker.com/r/me/train", "registry_type": "docker"}
    answer = client.post("/organizations/acme/registries/help/", sent).content.decode()
    assert escape("hub.docker.com is a web site, no registry.") in answer
    assert "r/me/train:v1" not in answer


@pytest.mark.parametrize(
    ("pattern", "image"),
    [
        ("ghcr.io/acme/*", "ghcr.io/acme/my-ml-image:v1.0"),
        ("me/*", "me/my-ml-image:v1.0"),
        ("us-docker.pkg.dev/p/*", "us-docker.pkg.dev/p/my-repo/my-ml-image:v1.0"),
    ],
)
def test_use_it_names_an_image_that_can_be(pattern, image, look, alice, acme, make_entry) -> None:
    entry = make_entry(
        pattern, registry_type="docker", config={"username": "me"}, secrets={"password": CANARY}
    )
    page = look(alice, f"/organizations/acme/registries/{entry.pk}/")
    assert f"image: {image}" in page.text
    setup = look(alice, "/organizations/acme/workers/setup/")
    assert f"VALOHAI_IMAGE={image} docker pull {image}" in setup.text

"""Web sites as registries: refused where a pattern is new, let be where it was stored before."""

from __future__ import annotations

import io

import pytest

from orgs.models import IndexedPattern, RegistryEntry
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Refused
from orgs.services.bulk import importing
from orgs.services.bulk.exporting import entries_of, export
from orgs.services.bulk.files import Rows
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.validating import EntrySpec, validate
from orgs.services.logins import resolve
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db

OLD = "registry.hub.docker.com/me/train"
# Pattern, what is suggested.
SITES = [
    ("hub.docker.com/r/me/train", "docker.io/me/train"),
    ("hub.docker.com/repository/docker/me/train", "docker.io/me/train"),
    ("hub.docker.com/me/*", "docker.io/me/*"),
    ("hub.docker.com/*", "docker.io/*"),
    ("hub.docker.com", "docker.io/*"),
    ("HUB.docker.com:443/r/me/train", "docker.io/me/train"),
    (OLD, "docker.io/me/train"),
    ("registry.hub.docker.com/*", "docker.io/*"),
    ("www.docker.com/*", "docker.io/*"),
    ("docker.com/*", "docker.io/*"),
    ("github.com/acme/code", "ghcr.io/acme/*"),
    ("github.com/acme/code/pkgs/container/train", "ghcr.io/acme/train"),
    ("github.com/*", "ghcr.io/*"),
    ("gitlab.com/group/project", "registry.gitlab.com/group/project/*"),
    ("gitlab.com/group/*", "registry.gitlab.com/group/*"),
    ("quay.io/repository/org/x", "quay.io/org/x"),
    ("quay.io/organization/org", "quay.io/org/*"),
    ("acme.jfrog.io/ui/native/docker-local/x", "acme.jfrog.io/docker-local/x"),
    ("catalog.redhat.com/software/containers/ubi/x1", "registry.access.redhat.com/ubi/x1"),
    ("console.cloud.google.com/gcr/images/my-project", "gcr.io/my-project/*"),
    # What belongs to them can't be told, or isn't this type's.
    ("console.aws.amazon.com/*", None),
    ("us-east-1.console.aws.amazon.com/ecr/repositories/private/123456789012/my-repo", None),
    ("portal.azure.com/*", None),
    ("gallery.ecr.aws/acme/train", None),
    ("bitbucket.org/acme/*", None),
]  # fmt: skip


def docker(*patterns: str, **rest) -> EntrySpec:
    return EntrySpec("docker", patterns, {"username": "me"}, {"password": CANARY}, **rest)


@pytest.mark.parametrize(("text", "suggestion"), SITES)
def test_a_new_pattern_is_refused(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as caught:
        validate(docker(text))
    (problem,) = caught.value.problems
    assert problem.code == "not_a_registry_host" and problem.field == "patterns"
    assert problem.suggestion == suggestion and (suggestion or "") in problem.fix
    assert " is " in problem.what and problem.fix.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        *("gitlab.example.com/group/*", "git.example.com/r/me/train", "hub.example.com/*"),
        *("docker.io/hub/*", "quay.io/org/repository", "quay.io/repositories/x", "ghcr.io/acme/*"),
        *("registry.gitlab.com/group/*", "gitlab.com:5050/group/*", "acme.jfrog.io/docker/ui"),
        *("registry-1.docker.io/me/*", "github.com.example.com/*", "mygithub.com/*"),
        *("hub.docker.com.evil.example/*", "registry.digitalocean.com/acme/*", "codeberg.org/me/*"),
    ],
)
def test_what_may_be_a_registry_is_let_be(text: str) -> None:
    validate(docker(text))


def test_the_console_of_aws_names_the_registry() -> None:
    text = "us-east-1.console.aws.amazon.com/ecr/repositories/private/123456789012/my-repo"
    key = {"access_key_id": "AKIAIOSFODNN7EXAMPLE"}
    with pytest.raises(Refused) as caught:
        validate(EntrySpec("aws-ecr", [text], key, {"secret_access_key": CANARY}))
    (problem,) = caught.value.problems
    assert (problem.code, problem.suggestion) == ("not_a_registry_host", f"{HOST}/my-repo")


@pytest.fixture
def old(make_entry) -> RegistryEntry:
    """As a former version let it in."""
    entry = make_entry(
        "registry.example.com/x", registry_type="docker",
        config={"username": "me"}, secrets={"password": CANARY},
    )  # fmt: skip
    pattern = MatchPattern.parse(OLD)
    IndexedPattern.objects.filter(entry=entry).update(
        text=OLD, normalized=str(pattern), host=pattern.authority, prefix=pattern.literal_prefix
    )
    return RegistryEntry.objects.get(pk=entry.pk)


def serves(entry: RegistryEntry) -> bool:
    served = resolve.resolve(entry.organization, ImageReference.parse(f"{OLD}:v1"))
    return served is not None and served.entry == entry


def test_what_is_stored_stays_and_can_be_changed_elsewhere(old, actor, gpu) -> None:
    assert serves(old)
    for change in (
        EntryChange(note="ours"),
        EntryChange(patterns=[OLD], note="said again"),
        EntryChange(secrets={"password": f"{CANARY}2"}),
        EntryChange(patterns=[OLD, "docker.io/me/*"], secrets={"password": CANARY}),
        EntryChange(enabled=False),
        EntryChange(enabled=True),
        EntryChange(environments=[gpu]),
        EntryChange(environments=[]),
    ):
        old = door.entry_update(entry=old, actor=actor, change=change)
    assert serves(old) and old.pattern_texts == [OLD, "docker.io/me/*"]
    old = door.entry_set_enabled(entry=old, actor=actor, enabled=False)
    old = door.entry_set_enabled(entry=old, actor=actor, enabled=True)
    assert serves(old)


@pytest.mark.parametrize("patterns", [["hub.docker.com/r/me/train"], [OLD, "hub.docker.com/*"]])
def test_a_changed_pattern_meets_the_rule(old, actor, patterns) -> None:
    with pytest.raises(Refused) as caught:
        change = EntryChange(patterns=patterns, secrets={"password": CANARY})
        door.entry_update(entry=old, actor=actor, change=change)
    assert [p.code for p in caught.value.problems] == ["not_a_registry_host"]
    with pytest.raises(Refused):
        door.entry_create(organization=old.organization, actor=actor, spec=docker(OLD))


def rows_of(text: str, format: str) -> Rows:
    return Rows(io.BytesIO(text.encode()), format)


@pytest.mark.parametrize("format", ["csv", "json", "yaml"])
def test_its_export_is_read_back(old, format) -> None:
    text = "".join(export(entries_of(old.organization), format))
    report = importing.plan(organization=old.organization, rows=rows_of(text, format))
    assert (report.unchanged, report.refused, report.errors) == (1, 0, [])
    RegistryEntry.objects.all().delete()
    report = importing.plan(organization=old.organization, rows=rows_of(text, format))
    assert "not_a_registry_host" in {error.code for error in report.errors}


def test_patterns_that_read_like_a_command_are_exported_line_by_line(make_entry, acme) -> None:
    """`docker pull me/x`, pasted into the form, once became three patterns."""
    entry = make_entry(
        ["docker", "pull", "me/x"], registry_type="docker",
        config={"username": "me"}, secrets={"password": CANARY},
    )  # fmt: skip
    for format in ("csv", "json", "yaml"):
        text = "".join(export(entries_of(acme), format))
        report = importing.plan(organization=acme, rows=rows_of(text, format))
        assert (report.unchanged, report.errors) == (1, []), format
    assert entry.pattern_texts == ["docker", "pull", "me/x"]

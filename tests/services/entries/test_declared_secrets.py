"""Rule 6 for what a type may declare: secrets that one can do without, and several of them."""

from __future__ import annotations

import pytest

from orgs.models import RegistryEntry
from orgs.registries import catalogue
from orgs.registries.problems import Refused
from orgs.registries.types import DockerLogin, Field, RegistryType, Travel
from orgs.services.bulk import importing
from orgs.services.bulk.files.rows import Row
from orgs.services.entries import door
from orgs.services.entries.changing import EntryChange
from orgs.services.entries.validating import secrets_of

pytestmark = pytest.mark.django_db
HERE, THERE = "reg.example.com/a/*", "evil.example.net/*"


class _Static(RegistryType):
    travel = Travel.STATIC
    summary = "For tests."

    def secret_scope(self, config, patterns):
        return frozenset(pattern.authority for pattern in patterns)

    def login(self, config, secrets, ask):
        return DockerLogin("me", "".join(secrets.values()), None)


class Optional(_Static):
    slug = label = "optional"
    fields = (
        Field("u", "User"),
        Field("a", "First", secret=True, required=False, paired_with="u"),
    )


class Two(_Static):
    slug = label = "two"
    fields = (
        Field("u", "User"),
        Field("a", "First", secret=True, paired_with="u"),
        Field("b", "Second", secret=True),
    )


@pytest.fixture(autouse=True)
def types(monkeypatch):
    for kind in (Optional(), Two()):
        monkeypatch.setitem(catalogue.BY_SLUG, kind.slug, kind)


@pytest.fixture
def optional(make_entry):
    return make_entry(HERE, registry_type="optional", config={"u": "x"}, secrets={"a": "AAA"})


@pytest.fixture
def two(make_entry):
    return make_entry(
        HERE, registry_type="two", config={"u": "x"}, secrets={"a": "AAA", "b": "BBB"}
    )


@pytest.mark.parametrize(
    "change", [EntryChange(patterns=[THERE]), EntryChange(config={"u": "y"}),
               EntryChange(patterns=[THERE], config={"u": "y"})],
)  # fmt: skip
def test_a_secret_that_isnt_required_travels_no_more_than_others(optional, actor, change) -> None:
    with pytest.raises(Refused) as refused:
        door.entry_update(entry=optional, actor=actor, change=change)
    assert [(p.code, p.field) for p in refused.value.problems] == [("secret_required", "a")]
    assert secrets_of(RegistryEntry.objects.get()) == {"a": "AAA"}


def test_one_that_was_never_given_isnt_asked_for(make_entry, actor) -> None:
    entry = make_entry(HERE, registry_type="optional", config={"u": "x"}, secrets={})
    door.entry_update(entry=entry, actor=actor, change=EntryChange(patterns=[THERE]))
    assert RegistryEntry.objects.get().pattern_texts == [THERE]


@pytest.mark.parametrize(("given", "kept"), [({"a": "NEW"}, "b"), ({"b": "NEW"}, "a")])
def test_replacing_one_of_two_keeps_the_other(two, actor, given, kept) -> None:
    door.entry_update(entry=two, actor=actor, change=EntryChange(secrets=given))
    assert secrets_of(RegistryEntry.objects.get()) == {"a": "AAA", "b": "BBB"} | given
    version = RegistryEntry.objects.get().credentials_version
    door.entry_update(entry=two, actor=actor, change=EntryChange(secrets=given))
    assert RegistryEntry.objects.get().credentials_version == version  # the same again


def test_nor_does_the_other_travel_beside_it(two, actor) -> None:
    for change in (
        EntryChange(patterns=[THERE], secrets={"a": "NEW"}),
        EntryChange(config={"u": "y"}, secrets={"b": "NEW"}),
    ):
        with pytest.raises(Refused) as refused:
            door.entry_update(entry=two, actor=actor, change=change)
        assert refused.value.code == "secret_required"
    assert secrets_of(RegistryEntry.objects.get()) == {"a": "AAA", "b": "BBB"}


def test_beside_one_that_doesnt_open_both_are_needed(two, actor, settings) -> None:
    from cryptography.fernet import Fernet

    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(Refused) as refused:
        door.entry_update(entry=two, actor=actor, change=EntryChange(secrets={"a": "NEW"}))
    assert [p.field for p in refused.value.problems] == ["b"]
    both = EntryChange(secrets={"a": "NEW", "b": "NEW"})
    door.entry_update(entry=two, actor=actor, change=both)
    assert secrets_of(RegistryEntry.objects.get()) == {"a": "NEW", "b": "NEW"}


def test_import_keeps_the_other_too(two, acme, actor) -> None:
    cells = {"image_pattern": HERE, "type": "two", "u": "x", "a": "NEW"}
    report = importing.apply(organization=acme, actor=actor, rows=[Row(2, cells)], update=True)
    assert (report.updated, report.errors) == (1, [])
    assert secrets_of(RegistryEntry.objects.get()) == {"a": "NEW", "b": "BBB"}

"""What a type declares is asked of it, by nobody who knows its name or its fields'."""

import re
from pathlib import Path

import pytest

from orgs.registries.catalogue import BY_SLUG, TYPES, first, groups
from orgs.registries.images import ImageReference
from orgs.registries.pattern_help import example_of
from orgs.registries.patterns import MatchPattern
from tests.support import PROJECT_ROOT

pytestmark = pytest.mark.once

ROOMS = ("templates", *(f"orgs/{room}" for room in
         ("models", "services", "forms", "templatetags", "web", "api", "admin", "management",
          "static")))  # fmt: skip
# Names that only a type's own can be; username and password are anybody's, and so is the client
# of a company's sign-in.
NAMES = {
    *(kind.slug for kind in TYPES if "-" in kind.slug),
    *(f.name for kind in TYPES for f in kind.fields if "_" in f.name),
    "region",
    ".ecr",
} - {"client_id", "client_secret"}
# The login that workers complete, as CONTRACT has it, with an example; a header's spelling, in
# a comment, and those of the AWS console's own file; what staff's search by key id is indexed
# by; and the demo's entries, which are made up as a file of entries would be.
KNOWN = {
    ("orgs/api/schemas.py", "aws-ecr-role"),
    ("orgs/models/entries.py", "access_key_id"),
    *(
        ("orgs/services/demo/entries.py", name)
        for name in (
            *("aws-ecr", "aws-ecr-role", "aws-ecr-oidc"),
            *("access_key_id", "secret_access_key", "role_name", "role_arn"),
        )
    ),
    ("orgs/services/logins/formats.py", "role_name"),
    ("orgs/services/logins/formats.py", "region"),
    ("orgs/api/schemas.py", "role_name"),
    ("orgs/api/schemas.py", "region"),
    ("orgs/services/bulk/files/tables.py", "access_key_id"),
    ("orgs/services/bulk/files/tables.py", "secret_access_key"),
}


def _sources() -> list[Path]:
    files = [file for room in ROOMS for file in (PROJECT_ROOT / room).rglob("*")]
    return [file for file in files if file.suffix in {".py", ".html", ".js"}]


def test_no_room_knows_a_type_or_its_fields_by_name() -> None:
    assert len(_sources()) > 150
    found = {
        (str(file.relative_to(PROJECT_ROOT)), name)
        for file in _sources()
        for name in NAMES
        if re.search(
            rf"(?<![\w-])(config__)?{re.escape(name)}(?=__|\b)(?!-|\.us-east-1)",
            file.read_text().replace('role="region"', ""),
        )
    }
    assert found == KNOWN


def test_each_type_has_a_short_name_for_lists() -> None:
    short = [kind.short_label for kind in TYPES]
    assert len(set(short)) == len(short)
    for kind in TYPES:
        assert 0 < len(kind.short_label) <= 24 and kind.short_label != kind.slug
        assert kind.short_label == kind.short_label.strip()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_a_type_has_an_example_of_all_that_people_type(kind) -> None:
    """Which is right, and shown wherever the type is chosen; a secret has none."""
    pattern = MatchPattern.parse(kind.example_pattern)
    assert kind.refused_patterns([pattern]) == []
    assert pattern.matches(ImageReference.parse(example_of(kind)))
    for declared in kind.fields:
        not_typed = declared.secret or declared.lines or declared.switch or declared.choices
        assert bool(declared.example) is not bool(not_typed)
        assert not declared.example or declared.problem(declared.example) is None
    assert bool(kind.login_life) is kind.minted
    assert kind.group and kind.summary.endswith(".") and kind.summary.count(". ") == 0


def test_types_of_one_group_stand_together(monkeypatch) -> None:
    names = list(groups())
    assert names == list(dict.fromkeys(kind.group for kind in TYPES))
    assert names[0] == "AWS" and names[-1] == "Any registry"
    assert [kind for kinds in groups().values() for kind in kinds][:2] == list(TYPES)[:2]
    later = type(first())()
    monkeypatch.setitem(BY_SLUG, "later", later)
    assert groups()["AWS"][-1] is later and list(groups()) == names

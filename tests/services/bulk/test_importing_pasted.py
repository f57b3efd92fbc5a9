"""What is pasted into a cell of patterns: mended, or told with what to write, and no secret."""

from __future__ import annotations

import io
import json

import pytest

from orgs.models import RegistryEntry
from orgs.services.bulk import importing
from orgs.services.bulk.files import Rows
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db


def report_of(acme, actor, cell, **cells):
    row = {"image_pattern": cell, "type": "docker", "username": "me", "password": CANARY} | cells
    file = io.BytesIO(json.dumps([row]).encode())
    return importing.apply(organization=acme, actor=actor, rows=Rows(file, "json"))


@pytest.mark.parametrize(
    ("cell", "patterns"),
    [
        (" ghcr.io/acme/* ", ["ghcr.io/acme/*"]),
        ('"ghcr.io/acme/*",', ["ghcr.io/acme/*"]),
        ("\ufeffghcr.io/acme/*\u200b", ["ghcr.io/acme/*"]),
        ("ghcr.io/acme/*, quay.io/org/*", ["ghcr.io/acme/*", "quay.io/org/*"]),
        ("ghcr.io/acme/*;quay.io/org/*", ["ghcr.io/acme/*", "quay.io/org/*"]),
        (["ghcr.io/acme/*", " quay.io/org/*"], ["ghcr.io/acme/*", "quay.io/org/*"]),
    ],
)
def test_what_is_around_it_is_cut_off(acme, actor, cell, patterns) -> None:
    assert report_of(acme, actor, cell).created == 1
    assert RegistryEntry.objects.get().pattern_texts == patterns


@pytest.mark.parametrize(
    ("cell", "suggestion"),
    [
        ("docker pull ghcr.io/acme/train:v1", "ghcr.io/acme/train"),
        ("FROM ghcr.io/acme/train AS base", "ghcr.io/acme/train"),
        ('image: "ghcr.io/acme/train:v1"', "ghcr.io/acme/train"),
        ("https://hub.docker.com/r/me/train", "docker.io/me/train"),
        ("https://github.com/Acme/code/pkgs/container/train?tag=V1", "ghcr.io/acme/train"),
        ("hub.docker.com/r/me/train", "docker.io/me/train"),
        ("docker login -u me -p S3cr3t/Passw0rd ghcr.io", "ghcr.io/*"),
        ("https://me:S3cr3tPassw0rd@ghcr.io/acme/train", "ghcr.io/acme/train"),
    ],
)
def test_the_row_tells_what_to_write(acme, actor, cell, suggestion) -> None:
    report = report_of(acme, actor, cell)
    (error,) = report.errors
    assert error.column == "image_pattern" and suggestion in error.fix, error
    told = f"{error.what} {error.fix} {error.value}"
    assert "S3cr3t" not in told and "Passw0rd" not in told and CANARY not in told


@pytest.mark.parametrize(
    "cell",
    [
        *(f"docker pull {CANARY}", f"image: {CANARY}", f'"{CANARY}"', f"https://{CANARY}@"),
        *(f"https://{CANARY}/x.y", CANARY.lower(), f"FROM {CANARY}", f"{CANARY},"),
    ],
)
def test_a_secret_in_the_wrong_cell_is_not_repeated(acme, actor, cell) -> None:
    for told in report_of(acme, actor, cell, password="p").errors:
        assert CANARY.lower()[:8] not in str(told).lower()


def test_an_arn_has_all_that_a_pattern_needs(acme, actor) -> None:
    arn = f"arn:aws:ecr:us-east-1:{HOST[:12]}:repository/my-repo"
    role = {"type": "aws-ecr-role", "role_name": "r", "username": "", "password": ""}
    (error,) = report_of(acme, actor, arn, **role).errors
    assert error.fix == f"Write {HOST}/my-repo."

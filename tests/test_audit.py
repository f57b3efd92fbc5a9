"""What `make lint` says of known vulnerabilities: only what was asked and answered."""

from __future__ import annotations

import json

import pytest

from tests.support.audit import judged

pytestmark = pytest.mark.once
FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["5.2.20"], "aliases": [], "description": ""}
FINE = {"name": "django", "version": "5.2.19", "vulns": []}
BAD = FINE | {"vulns": [FLAW]}
SKIPPED = {"name": "boto3", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "said", "vulnerable"),
    [
        ([FINE], "no known vulnerability in 1 packages", False),
        ([FINE, SKIPPED], "Not known there: boto3", False),
        ([BAD, SKIPPED], "django 5.2.19: PYSEC-2026-1, mended in 5.2.20", True),
        ([BAD | {"vulns": [FLAW | {"fix_versions": []}]}], "no version yet", True),
        ([SKIPPED, SKIPPED], "not audited, since the index", False),
        ([], "not audited", False),
    ],
)
def test_what_is_said(packages, said, vulnerable):
    told, found = judged("r.txt", json.dumps({"dependencies": packages}), "")
    assert said in told and found is vulnerable
    assert ("no known vulnerability" in told) is (FINE in packages)


@pytest.mark.parametrize("printed", ["", "[]", "{}", '{"dependencies": null}', "<html>"])
def test_no_answer_is_no_good_news(printed):
    told, found = judged("r.txt", printed, "ConnectionError: no route\nmore")
    assert "not audited" in told and "more" in told and not found

"""What the documents for developers name in the code is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.once

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")])
ROOMS = {path.name for path in (ROOT / "orgs").iterdir() if path.is_dir()} - {"__pycache__"}
_SPAN = re.compile(r"`([^`\s]+)`")
_LINK = re.compile(r"\]\(([^)#:\s]+)\)")


def named(text: str) -> set[str]:
    """What in the text looks like a file or a module of ours, as a path.

    `services/upstream/calls.py` and `services.upstream.calls` alike, with or without `orgs`;
    a module's last part may be a name in it.
    """
    found = set()
    for span in _SPAN.findall(text):
        first = re.split(r"[./]", span.removeprefix("orgs/").removeprefix("orgs."))[0]
        if first not in ROOMS or not re.fullmatch(r"[A-Za-z0-9_]+([./][A-Za-z0-9_]+)+/?", span):
            continue
        path = span.removesuffix("/").removesuffix(".py").replace(".", "/")
        found.add("orgs/" + path.removeprefix("orgs/"))
    return found


def is_there(path: str) -> bool:
    """As a folder, a module or a file; or as a name in a module."""
    whole, (module, _, name) = ROOT / path, path.rpartition("/")
    if whole.exists() or whole.with_suffix(".py").exists():
        return True
    files = [ROOT / f"{module}.py", ROOT / module / "__init__.py"]
    return any(file.exists() and re.search(rf"\b{name}\b", file.read_text()) for file in files)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_links_lead_somewhere(document):
    text = document.read_text("utf-8")
    assert [path for path in sorted(named(text)) if not is_there(path)] == []
    assert [link for link in _LINK.findall(text) if not (document.parent / link).exists()] == []


def test_names_are_found_and_missed():
    text = "`orgs/sealed.py` `services/upstream/calls.py` `services.entries` `services.gone` `a/b`"
    assert sorted(map(is_there, named(text))) == [False, True, True]
    assert named("`services.gone.by`") == {"orgs/services/gone/by"}
    assert is_there("orgs/registries/problems/Failed") and not is_there(
        "orgs/registries/problems/X_"
    )


THREATS = ROOT / "docs/threat-model.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_the_threat_model_names_tests_that_are_there():
    named = _TEST.findall(THREATS.read_text("utf-8"))
    assert len(named) > 50
    gone = [
        (file, name)
        for file, name in named
        if not (ROOT / file).exists() or f"def {name or 'test_'}" not in (ROOT / file).read_text()
    ]
    assert gone == []


def test_each_threat_has_one():
    rows = (
        THREATS.read_text("utf-8").partition("## What is tried")[2].partition("## What is left")[0]
    )
    lines = [line for line in rows.splitlines() if line.startswith("| ")][1:]
    assert len(lines) > 25 and [line for line in lines if not _TEST.search(line)] == []


AT_THE_TOP = {
    *(".ci", ".containerignore", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
    *("README.md", "SECURITY.md", "bench", "deploy", "docs", "examples", "fuzz"),
    *("gunicorn.conf.py", "manage.py", "orgs", "pictures", "pyproject.toml", "templates"),
    *(f"requirements{kind}{form}" for kind in ("", "-dev", "-saml") for form in (".in", ".txt")),
    *("tests", "valohai_registries", "worker"),
}


def test_nothing_lies_about() -> None:
    """What a broad `git add` took along is seen here."""
    command = ["git", "-c", "safe.directory=*", "ls-tree", "--name-only", "HEAD"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        pytest.skip("not a clone")
    assert set(told.stdout.split()) == AT_THE_TOP

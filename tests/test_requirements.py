"""What is installed is what is listed: each file pinned whole, by version and by hash."""

from __future__ import annotations

import re

import pytest

from tests.support import PROJECT_ROOT

pytestmark = pytest.mark.once

PAIRS = [(f"requirements{kind}.in", f"requirements{kind}.txt") for kind in ("", "-saml", "-dev")]
_PIN = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,]+\])?==(?P<version>[\w.]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(name: str) -> dict[str, str]:
    """What people wrote: {package: version}, with what the file takes in."""
    found: dict[str, str] = {}
    for line in (PROJECT_ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= listed(line[3:])
        elif line and not line.startswith(("#", "-c ")):
            pin = _PIN.fullmatch(line)
            assert pin, f"{name}: “{line}” isn't pinned to one version"
            found[_normal(pin["name"])] = pin["version"]
    return found


def locked(name: str) -> dict[str, tuple[str, list[str], str]]:
    """What pip installs: {package: (version, hashes, why it is there)}."""
    text = (PROJECT_ROOT / name).read_text()
    found = {}
    for block in re.split(r"\n(?=[\w-])", text):
        pin = _PIN.match(block)
        assert pin, f"{name}: {block[:60]}"
        why = block.partition("# via ")[2].strip()
        found[_normal(pin["name"])] = (pin["version"], _HASH.findall(block), why)
    return found


@pytest.mark.parametrize(("source", "lock"), PAIRS)
def test_they_agree(source, lock):
    pins = locked(lock)
    assert {name: pins[name][0] for name in listed(source)} == listed(source)
    for name, (_, hashes, why) in pins.items():
        assert hashes, f"{lock}: {name} has no hash"
        reasons = {_normal(word) for word in re.split(r", ", why) if not word.startswith("-")}
        known = reasons <= set(pins)
        assert name in listed(source) or (reasons and known), f"{lock}: why {name}? {why}"


def test_what_runs_is_what_is_checked():
    checked = locked("requirements-dev.txt")
    runs = locked("requirements.txt") | locked("requirements-saml.txt")
    for name, (version, hashes, _) in runs.items():
        assert checked[name][:2] == (version, hashes)


@pytest.mark.parametrize("name", [name for pair in PAIRS for name in pair])
def test_no_file_names_an_index(name):
    """Pins, their hashes and remarks; no option of pip's but those, and no address."""
    text = (PROJECT_ROOT / name).read_text()
    options = set(re.findall(r"(?:^|\s)(-{1,2}[a-z][\w-]*)", re.sub(r"#.*", "", text)))
    assert "://" not in text and options <= {"-r", "-c", "--hash"}

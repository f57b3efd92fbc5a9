"""The index of pictures: it has every stop, sees what changed, and passes over noise."""

from __future__ import annotations

import re

import pytest

from pictures import index
from pictures.stops import ADMIN, WEB
from pictures.taking import names
from tests.support import PROJECT_ROOT

pytestmark = pytest.mark.once
LOOK = "1280x900 AAA " + "m" * 120


def test_it_has_every_picture_and_no_other() -> None:
    """Else: `make pictures`, or `python -m pictures NAME` for a stop alone."""
    assert set(index.read()) == {name for stop in (*WEB, *ADMIN) for name in names(stop)}


def test_a_line_a_picture_in_order() -> None:
    lines = index.FILE.read_text("utf-8").splitlines()
    found = list(index.read())
    assert len(lines) == len(found) + 2 and found == sorted(found)
    for name, look in index.read().items():
        size, colour, cells = look.split()
        width, height = map(int, size.split("x"))
        assert width == int(name.split("-")[-2]) and len(cells) == index.cells_of(width, height)
        assert len(colour) == 3
        assert set(colour + cells) <= set(index._LETTERS)


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        (LOOK, ""),
        (LOOK.replace("900", "910"), ""),
        (LOOK[:-1] + "t", ""),  # 7 of 64
        ("1280x900 CAA " + "m" * 120, ""),
        (LOOK[:-1] + "u", "1 cells, by 8"),
        (LOOK[:-2] + "zz", "2 cells, by 13"),
        (LOOK.replace("900", "940"), "1280x900 is 1280x940"),
        (LOOK.replace("1280", "390"), "1280x900 is 390x900"),
        (LOOK.replace("AAA", "ADA"), "another colour"),
    ],
)
def test_what_counts_as_a_change(now, seen) -> None:
    found = index.difference(LOOK, now)
    assert found.startswith(seen) and bool(found) == bool(seen)


def test_new_ones_and_gone_ones_are_told_and_noise_leaves_no_trace() -> None:
    noise = LOOK[:-1] + "n"
    before, taken = {"a": LOOK, "b": LOOK, "c": LOOK}, {"a": noise, "b": LOOK[:-1] + "9", "d": LOOK}
    told = index.told(before, taken)
    assert [line.partition(":")[0] for line in told] == ["b", "c", "d"]
    assert told[1:] == ["c: gone", "d: new"]
    kept = index.renewed(before, taken)
    assert kept == {"a": LOOK, "b": taken["b"], "c": LOOK, "d": LOOK}


def test_readmes_pictures_are_there_and_light() -> None:
    text = (PROJECT_ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r'(?:src|srcset)="(docs/pictures/[a-z-]+\.png)"', text))
    files = [PROJECT_ROOT / name for name in named]
    assert len(files) == 6 and sum(file.stat().st_size for file in files) < 1_000_000
    moving = (PROJECT_ROOT / "docs/pictures/adding.png").read_bytes()
    assert b"acTL" in moving[:100] and moving.count(b"fcTL") > 5
    assert (
        'media="(prefers-reduced-motion: reduce)" srcset="docs/pictures/adding-still.png"' in text
    )

"""The benchmark's table says what was found, misses included; its parts are there."""

import importlib.util
import json
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from bench import table
from bench.__main__ import PARTS
from bench.table import Row

pytestmark = pytest.mark.once

ROWS = [
    Row("alone", 1234.5, "a second"),
    Row("fast <enough>", 2.0, "ms", 0.5, "a & b", ("≤", 1.0)),
    Row("too slow", 2.0, "ms", 3.0, "b", ("≤", 1.0)),
    Row("enough", 9.0, "a second", 0.9, "b", ("≥", 0.9)),
    Row("too few", 8.0, "a second", 0.89, "b", ("≥", 0.9)),
    Row("said", 8.0, "a second", 0.1, "b"),
]


def test_what_is_met_and_what_is_missed() -> None:
    assert [row.met for row in ROWS] == [None, True, False, True, False, None]
    told = table.text(ROWS).splitlines()
    assert ["MISSED" in line for line in told] == [False, False, True, False, True, False]
    assert "1,234.50 a second" in told[0] and "0.50 × a & b" in told[1]


def test_rows_go_through_json() -> None:
    assert table.read(json.dumps([asdict(row) for row in ROWS])) == ROWS


def test_the_picture_has_a_bar_for_each_aim() -> None:
    root = ElementTree.fromstring(table.svg([("Part", ROWS), ("None of it", ROWS[:1])]))
    bars = [each.get("class") for each in root if each.tag.endswith("rect")]
    assert bars == ["bar", "missed", "bar", "missed"]
    words = "".join(root.itertext())
    assert "fast <enough>" in words and "None of it" not in words
    assert all(float(bar.get("width", "0")) <= 360 for bar in root if bar.tag.endswith("rect"))


def test_every_part_is_there() -> None:
    assert all(importlib.util.find_spec(f"bench.{command[0]}") for command in PARTS.values())

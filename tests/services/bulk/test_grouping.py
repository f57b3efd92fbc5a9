"""The same problem of many rows, told once."""

from __future__ import annotations

import pytest

from orgs.registries.patterns import InvalidPattern, MatchPattern
from orgs.services.bulk.correcting import Correction
from orgs.services.bulk.files.columns import CellError
from orgs.services.bulk.grouping import RowNumbers, corrections_grouped, grouped
from tests.conftest import HOST

pytestmark = pytest.mark.once


def tagged(row: int, path: str = "a", tag: str = "v1") -> CellError:
    text = f"{HOST}/{path}:{tag}"
    with pytest.raises(InvalidPattern) as refused:
        MatchPattern.parse(text)
    problem = refused.value.problem
    return CellError(row, "image_pattern", text, problem.code, problem.what, problem.fix)


def required(row: int | None, column: str = "note") -> CellError:
    return CellError(row, column, "", "required", "It is empty.", "Enter it.")


def test_the_same_problem_of_other_values_is_one() -> None:
    (group,) = grouped([tagged(row, f"a{row}", f"v{row}") for row in range(2, 5002)])
    assert (group.count, group.rows.count, str(group.rows)) == (5000, 5000, "2–5001")
    assert group.values.shown == [f"{HOST}/a{row}:v{row}" for row in (2, 3, 4)]
    assert group.values.more == 4997 and not group.alike
    assert str(group) == (
        "5,000 rows, image_pattern: a tag in the pattern; rows 2–5001. The first: "
        f"{HOST}/a2:v2: Patterns match repositories, not tags, so “:v2” can't be part of one. "
        f"Write {HOST}/a2; it covers every tag. [tag_in_pattern]"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (required(2), required(3, "type")),
        (required(2), CellError(3, "note", "", "too_long", "It is empty.", "Enter it.")),
        (required(2), CellError(3, "note", "", "required", "It is wholly empty.", "Enter it.")),
        (required(None), required(2)),
        # Of the same row each is told.
        (tagged(2, "a"), tagged(2, "b")),
    ],
    ids=["column", "code", "sentence", "file", "same-row"],
)
def test_other_problems_are_not(one: CellError, other: CellError) -> None:
    assert [str(group) for group in grouped([one, other])] == [str(one), str(other)]


def test_what_says_the_very_same_is_said_of_all() -> None:
    (group,) = grouped([required(2), required(3), required(5)])
    assert group.alike and (group.values.shown, group.values.more) == ([], 0)
    assert str(group) == (
        "3 rows, note: empty; rows 2–3, 5. All: It is empty. Enter it. [required]"
    )


def test_they_stay_in_the_order_of_their_first_ones() -> None:
    errors = [tagged(2), required(3), tagged(4), required(7), required(9, "type")]
    assert [(g.first.row, g.count) for g in grouped(errors)] == [(2, 2), (3, 2), (9, 1)]
    assert grouped([]) == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], ""),
        ([4], "4"),
        ([4, 4, 4], "4"),
        ([2, 3, 4, 9], "2–4, 9"),
        ([2, 4, 6, 8, 10], "2, 4, 6, 8, 10"),
        ([2, 4, 6, 8, 10, 11, 12], "2, 4, 6, 8, 10–12"),
        ([2, 4, 6, 8, 10, 12], "2, 4, 6, 8, 10 and 1 more"),
        ([2, 4, 6, 8, 10, 12, 11, 13], "2, 4, 6, 8, 10 and 3 more"),
        (range(2, 4002, 2), "2, 4, 6, 8, 10 and 1,995 more"),
        ([None, None], ""),
    ],
)
def test_rows_are_told_by_spans(rows, told: str) -> None:
    numbers = RowNumbers()
    for row in rows:
        numbers.add(row)
    assert str(numbers) == told
    assert numbers.count == len([row for row in dict.fromkeys(rows) if row is not None])


def test_a_hundred_thousand_take_memory_for_few() -> None:
    """What is kept of a group doesn't grow with its rows, but for the different values."""
    errors = [tagged(2), tagged(3)] * 50_000
    (group,) = grouped(errors)
    assert group.count == 100_000 and len(group.values.shown) == 1
    assert len(group.rows._spans) <= 5


def test_corrections_are_told_with_the_first_few() -> None:
    found = [
        Correction(row, "image_pattern", "tag_in_pattern", f"a{row}:v1", f"a{row}")
        for row in (2, 3, 4, 6)
    ]
    found.append(Correction(9, "environments", "environment_not_found", "GPU", "gpu"))
    patterns, environments = corrections_grouped(found)
    assert patterns.words == "4 rows: a tag in the pattern; rows 2–4, 6"
    assert patterns.shown == [("a2:v1", "a2"), ("a3:v1", "a3"), ("a4:v1", "a4")]
    assert environments.words == "1 row: no such environment; row 9"

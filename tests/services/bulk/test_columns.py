"""What of a cell is found again in a sentence: the fast way finds what the plain one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orgs.services.bulk.files.columns import _repeated

WORDS = st.lists(st.text("abc", max_size=60), max_size=3)


@given(WORDS, st.text("abc", max_size=60), st.integers(1, 12))
def test_every_piece_that_is_repeated_is_found(words, cell, length):
    length_of_all = min(length, len(cell))
    pieces = {cell[at : at + length_of_all] for at in range(len(cell) - length_of_all + 1)}
    expected = {piece for piece in pieces if any(piece in text for text in words)}
    assert _repeated(words, cell, length) == (expected if length_of_all >= 4 else set())


@given(st.text("ab", max_size=30), st.text("ab", min_size=4, max_size=40), st.text("ab"))
def test_a_cell_within_a_sentence_is_found(before, cell, after):
    assert _repeated([before + cell + after], f" {cell} ", 12)

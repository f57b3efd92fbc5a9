"""Parts of sentences that not everyone sees."""

import pytest

from orgs.registries.private import known, marked, private, public, stored, whole
from orgs.registries.problems import Failed

pytestmark = pytest.mark.once
KEY = "AKIAIOSFODNN7EXAMPLE"
SENTENCE = f"AWS knows the key{private(f' {KEY}')}, but this secret isn't its own."


def test_with_it_and_without() -> None:
    assert public(SENTENCE) == "AWS knows the key, but this secret isn't its own."
    assert whole(SENTENCE) == f"AWS knows the key {KEY}, but this secret isn't its own."


@pytest.mark.parametrize("length", range(len(SENTENCE)))
def test_what_was_cut_shows_no_more(length) -> None:
    """Columns cut what is too long, perhaps within the part."""
    assert not any(KEY[:n] in public(SENTENCE[:length]) for n in range(4, 21))


def test_a_mark_in_a_part_ends_nothing() -> None:
    mark = private("")[-1]
    assert public(f"a{private(f'{mark}{KEY}{mark}')}b") == "ab"


def test_a_failure_shows_it_only_where_that_is_asked_for() -> None:
    error = Failed("signature_mismatch", SENTENCE, "Replace it.")
    for told in (error.what, error.detail, str(error), repr(error)):
        assert KEY not in told and told.isprintable()
    assert KEY in error.in_full and error.in_full.isprintable() and KEY in error.told
    again = Failed(error.code, error.told, error.fix)
    assert (again.told, again.detail) == (error.told, error.detail)


@pytest.mark.parametrize("code", ["access_denied", "invalid_key", "signature_mismatch"])
def test_sentences_of_before_there_were_marks(code) -> None:
    """They may name a key anywhere: members are told the code alone."""
    before = whole(SENTENCE)
    assert stored(before, code, private=True) == before
    assert stored(before, code, private=False) == known(before, code) == ""
    # of now, whether they name a key or not
    assert stored(SENTENCE, code, private=False) == public(SENTENCE)
    assert stored(marked("The registry says no."), code, private=False) == "The registry says no."
    assert stored("No entry serves it.", "no_match", private=False) == "No entry serves it."


def test_marks_that_are_not_ours_are_shown_to_nobody() -> None:
    begins, ends = private("")
    for odd in (f"a{ends}b", f"{ends}a{private(KEY)}b{ends}", f"a{ends}b{begins}{KEY}"):
        assert public(odd).isprintable() and whole(odd).isprintable()
        assert KEY not in public(odd)

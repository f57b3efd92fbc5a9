"""Which text can be stored, and what a registry type's declarations hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs.registries.catalogue import TYPES
from orgs.registries.problems import Refused, text_problem
from orgs.registries.text import has_control, is_storable, storable, storable_value
from tests.support.declared import valid

pytestmark = pytest.mark.once

BAD = ["\0", "\ud800", "\udfff", "\udcff", "\x1b[31m", "\x7f", "\x85", "\x9b"]
GOOD = ["é", "名前", "مرحبا", "\u202eabc", "👩‍🚀", "a\u0300", "\U0010ffff", "\ufeff", ""]
FIELDS = [(kind, field) for kind in TYPES for field in kind.fields]


@pytest.mark.parametrize("letter", BAD)
def test_what_no_line_has(letter) -> None:
    assert has_control(f"a{letter}b") and has_control(f"a{letter}b", lines=True)


@pytest.mark.parametrize("text", GOOD)
def test_what_people_write(text) -> None:
    assert not has_control(text) and is_storable(text) and storable(text) == text


@pytest.mark.parametrize("letter", ["\n", "\r", "\t"])
def test_line_breaks_where_there_are_lines(letter) -> None:
    assert has_control(letter) and not has_control(letter, lines=True)


@given(st.text(st.characters(exclude_categories=[])))
def test_storable_text_can_be_written(text) -> None:
    """To a file, and to databases, which take no NUL; and only what couldn't is replaced."""
    made = storable(text)
    assert "\0" not in made and len(made) == len(text)
    made.encode()
    assert (made == text) == is_storable(text)


_texts = st.text(st.sampled_from("a\0\ud800é"), max_size=3)


@given(
    st.recursive(
        _texts | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
    )
)
def test_json_values_too(value) -> None:
    repr(storable_value(value)).encode()
    assert "\\ud800" not in ascii(storable_value(value)) and "\\x00" not in ascii(
        storable_value(value)
    )


def test_a_value_without_end_ends() -> None:
    endless: list = []
    endless.append(endless)
    assert str(storable_value(endless)).count("[") == 20


def test_lengths() -> None:
    def problem(text):
        return text_problem(text, name="x", label="X", most=3)

    assert problem("abc") is None
    assert problem("abcd").code == "too_long" and problem("abcd").field == "x"
    assert problem(5).code == problem(None).code == problem(["a"]).code == "not_text"


@pytest.mark.parametrize(
    ("kind", "field"), FIELDS, ids=lambda it: getattr(it, "slug", None) or it.name
)
@pytest.mark.parametrize("bad", [*BAD, "\ufffd", "too long", 5, None, ["x"], {"x": "y"}])
def test_every_declared_field_is_held_to_it(kind, field, bad) -> None:
    """A type can't forget it: what it says itself comes after, and only of what is left."""
    value = "x" * (field.max_length + 1) if bad == "too long" else bad
    value = f"abc{bad}def" if isinstance(bad, str) and bad != "too long" else value
    config, secrets = valid(kind)
    (secrets if field.secret else config)[field.name] = value
    with pytest.raises(Refused) as refused:
        kind.clean(config, secrets, [])
    assert {problem.field for problem in refused.value.problems} == {field.name}
    text = str(refused.value)
    text.encode()
    assert not has_control(text)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_and_what_is_right_passes(kind) -> None:
    config, secrets = valid(kind)
    cleaned = kind.clean(config, secrets, [])
    assert cleaned[1] == secrets and kind.unusable(*cleaned) is None


@pytest.mark.parametrize(
    ("kind", "field"), FIELDS, ids=lambda it: getattr(it, "slug", None) or it.name
)
def test_what_is_stored_and_can_be_no_login(kind, field) -> None:
    for bad in ("\ud800", "\0", "\ufffd", 5):
        config, secrets = valid(kind)
        (secrets if field.secret else config)[field.name] = bad
        assert kind.unusable(config, secrets).field == field.name
    config, secrets = valid(kind)
    (secrets if field.secret else config).pop(field.name, None)
    assert bool(kind.unusable(config, secrets)) == field.required

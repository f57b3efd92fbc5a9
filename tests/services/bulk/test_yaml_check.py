"""Images of a `valohai.yaml`: where they stand, on which line, what serves them, and that
no file does more harm than being refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.registries.problems import Refused
from orgs.services.bulk.files.valohai_yaml import MAX_BYTES, MAX_IMAGES, MAX_NODES, read_images
from orgs.services.bulk.yaml_check import Result, check_yaml, report_json
from tests.conftest import HOST
from tests.support import effort

WHOLE = f"""\
- step:
    name: train
    image: {HOST}/my-ml-image:v1.0
    command: python train.py
- step:
    name: fetch
    command: curl
    image: "python:3.12"
- endpoint:
    name: serve
    image: registry.example.com/serve@sha256:{"a" * 64}
- pipeline:
    name: nightly
    nodes:
      - name: first
        type: execution
        step: train
        override:
          image: {HOST}/other:v2
      - name: second
        type: execution
        step: train
      - name: third
        override: {{inputs: []}}
- blueprint:
    name: old
    nodes: [{{name: only, override: {{image: ghcr.io/me/x}}}}]
- task: {{name: sweep, step: train}}
"""


def found(text: str) -> list[tuple[int, str, str]]:
    return [(m.line, m.where, m.text) for m in read_images(text).images]


def step(image: str, name: str = "a") -> str:
    return f"- step: {{name: {name}, image: {image}}}\n"


def only(text: str):
    (mention,) = read_images(text).images
    return mention


def test_every_place_and_its_line() -> None:
    assert found(WHOLE) == [
        (3, "step train", f"{HOST}/my-ml-image:v1.0"),
        (8, "step fetch", "python:3.12"),
        (11, "endpoint serve", f"registry.example.com/serve@sha256:{'a' * 64}"),
        (19, "pipeline nightly, node first", f"{HOST}/other:v2"),
        (27, "pipeline old, node only", "ghcr.io/me/x"),
    ]
    assert read_images(WHOLE).warnings == []


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_bytes_and_other_line_ends(newline: str) -> None:
    text = WHOLE.replace("\n", newline)
    assert found(text) == found(WHOLE)
    assert read_images(("\ufeff" + text).encode()).images == read_images(WHOLE).images


def test_merged_and_shared_parts() -> None:
    text = """\
- step: &base
    name: base
    image: python:3.12
- step: {<<: *base, name: same}
- step: {<<: *base, name: own, image: python:3.13}
- step: {<<: [{image: first}, {image: second}], name: list}
- step: *base
"""
    assert [(line, where) for line, where, _ in found(text)] == [
        (3, "step same"),
        (5, "step own"),
        (6, "step list"),
        (3, "step base"),  # of the last item, which is the first again
    ]
    assert [image for *_, image in found(text)][1:3] == ["python:3.13", "first"]


def test_the_last_of_two_keys_counts() -> None:
    assert only("- step:\n    name: a\n    image: one\n    image: two\n").text == "two"


OF_EACH_KIND = {
    "step": "image: x",
    "endpoint": "image: x",
    "pipeline": "nodes: [{name: n, override: {image: x}}]",
    "blueprint": "nodes: [{name: n, override: {image: x}}]",
    "task": "step: s",
    "deployment": "defaults: {}",
}


def item(kind: str, name: str) -> str:
    return f"- {kind}: {{name: {name}, {OF_EACH_KIND[kind]}}}\n"


@pytest.mark.parametrize("kind", OF_EACH_KIND)
def test_the_last_of_a_name_counts(kind: str) -> None:
    read = read_images(item(kind, "a") + item(kind, "b") + item(kind, "a"))
    known = "pipeline" if kind == "blueprint" else kind
    (warned,) = read.warnings
    assert warned.line == 3
    assert warned.sentence == f"The {known} “a” stands on line 1 already; only the last one counts."
    lines = [2, 3] if "x" in OF_EACH_KIND[kind] else []
    assert [mention.line for mention in read.images] == lines


def test_a_name_may_be_of_each_kind_once() -> None:
    names = [item(kind, "a") for kind in OF_EACH_KIND if kind != "blueprint"]
    assert read_images("".join(names)).warnings == []
    (warned,) = read_images("".join([*names, item("blueprint", "a")])).warnings
    assert "The pipeline “a” stands" in warned.sentence


def test_three_of_a_name_and_some_without_one() -> None:
    read = read_images(step("one") * 3 + "- step: {image: x}\n" * 2)
    assert [warned.line for warned in read.warnings] == [2, 3]
    assert [(m.line, m.where) for m in read.images] == [
        (3, "step a"),
        (4, "step without a name"),
        (5, "step without a name"),
    ]


@pytest.mark.parametrize(
    ("kinds", "read_as"),
    [
        (("step", "endpoint"), "step"),
        (("endpoint", "step"), "step"),
        (("task", "step"), "step"),
        (("endpoint", "task"), "task"),
        (("pipeline", "endpoint"), "endpoint"),
        (("blueprint", "pipeline"), "pipeline"),
        (("deployment", "blueprint"), "pipeline"),
        (("deployment", "task"), "task"),
    ],
)
def test_an_item_of_two_kinds_is_read_as_one(kinds: tuple[str, str], read_as: str) -> None:
    first, second = (item(kind, f"the-{kind}")[2:] for kind in kinds)
    read = read_images(f"- {first}  {second}")
    (warned,) = read.warnings
    assert f"is read as the {read_as}; " in warned.sentence
    assert warned.line == 2 if read_as == kinds[0] else warned.line == 1
    assert len(read.images) == (0 if read_as == "task" else 1)
    assert all(read_as in mention.where for mention in read.images)


def test_what_is_none_of_the_known_kinds() -> None:
    read = read_images("- stpe: {name: a}\n- just text\n" + step("one"))
    assert [warned.line for warned in read.warnings] == [1, 2]
    assert [mention.line for mention in read.images] == [3]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("", "The image is empty."),
        ("''", "The image is empty."),
        ("'  '", "The image is empty."),
        ("null", "The image is empty."),
        ("~", "The image is empty."),
        ("123", "The image isn't text. Put it in quotes."),
        ("3.10", "The image isn't text."),
        ("true", "The image isn't text."),
        ("2026-01-01", "The image isn't text."),
        ("[a, b]", "The image isn't text."),
        ("{name: a}", "The image isn't text."),
        (f"https://{HOST}/a", f"Write {HOST}/a"),
        ("Upper/case", ""),
        ("'two words'", ""),
        ("a" * 64, "an image's ID"),
    ],
)
def test_invalid_images(image: str, says: str) -> None:
    for text in (step(image), f"- endpoint: {{name: a, image: {image}}}"):
        mention = only(text)
        assert mention.reference is None and says in str(mention.problem)


def test_blanks_around_an_image_are_no_matter() -> None:
    assert str(only(step("' python:3.12 '")).reference) == "docker.io/library/python:3.12"


def test_a_missing_image() -> None:
    for text in ("- step: {name: a}", "- endpoint: {name: a}"):
        assert "It has no image." in str(only(text).problem)
    unindented = "- step:\n  name: a\n  image: python:3.12\n"
    for text in (unindented, "- step: just text", "- endpoint:", "- step: [a]"):
        assert "Indent its name, image" in str(only(text).problem)
    assert found("- pipeline: {name: a, nodes: [{name: b, override: {}}, 3]}") == []
    assert found("- pipeline: {name: a, nodes: 3}") == []


BOMB = "a: &a [x,x]\n" + "".join(
    f"{chr(97 + n)}: &{chr(97 + n)} [{','.join([f'*{chr(96 + n)}'] * 9)}]\n" for n in range(1, 20)
)
MERGE_BOMB = "".join(
    ["- &m0 {x: 1}\n"] + [f"- &m{n} {{<<: [{f'*m{n - 1}, ' * 9}]}}\n" for n in range(1, 60)]
) + "- step: {<<: *m59, name: a}\n"  # fmt: skip
MERGE_CHAIN = "".join(
    ["- &m0 {x: 1}\n"] + [f"- &m{n} {{<<: *m{n - 1}}}\n" for n in range(1, 5000)]
) + "- step: {<<: *m4999}\n"  # fmt: skip
SHORT_CHAIN = "".join(
    ["- &m0 {x: 1}\n"] + [f"- &m{n} {{<<: *m{n - 1}}}\n" for n in range(1, 130)]
) + "- step: {<<: *m129}\n"  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The file is empty."),
        ("# nothing", "The file is empty."),
        ("step: {name: a}", "Line 1: A valohai.yaml is a list, and this isn't one."),
        ("just text", "A valohai.yaml is a list"),
        ("- step:\n    name: a\n\timage: b", "Line 3: This isn't YAML"),
        ("- step: {name: a", "This isn't YAML"),
        ("- step: *nowhere", "Line 1: This isn't YAML: found undefined alias"),
        ("- a\n---\n- b", "This isn't YAML"),
        ("- 'open", "This isn't YAML"),
        ("- \x01", ""),
        ("[" * 2000, "Line 1: There is too much in it, or it is nested too deep."),
        ("- " * 100_000 + "a", "nested too deep"),
        ("- a\n" * (MAX_NODES + 1), "There is too much in it"),
        (BOMB, "There is too much in it"),
        (MERGE_BOMB, "There is too much in it"),
        (MERGE_CHAIN, "There is too much in it"),
        (SHORT_CHAIN, "Too much is merged"),
        ("- &a [*a]", "Line 1: Something in it holds itself."),
        ("- &a {x: [{y: *a}]}", "Something in it holds itself."),
        ("%TAG !a! x\n" * 30 + "--- []", "There are too many %TAG lines"),
        ("- " + "x" * MAX_BYTES, "larger than 1 MB"),
        (step("one") * (MAX_IMAGES + 1), f"Line {MAX_IMAGES + 1}: There are more than"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_what_is_refused_and_at_which_line(text: str, says: str) -> None:
    with effort.at_most(1500):
        with pytest.raises(Refused) as refused:
            read_images(text)
        assert says in str(refused.value) and refused.value.code == "invalid_yaml"
        assert refused.value.problem.field == "file"
        assert str(refused.value).isprintable()


def test_other_encodings() -> None:
    with pytest.raises(Refused, match="UTF-8"):
        read_images("- step: {image: é}".encode("latin-1"))


def test_an_alias_counts_for_what_it_stands_for() -> None:
    base = "- step: &a {name: a, image: b, inputs: [" + "x," * 80 + "]}\n"
    aliases = (MAX_NODES - 100) // 87
    assert len(read_images(base + "- *a\n" * aliases).images) == 1
    with pytest.raises(Refused, match="too much in it"):
        read_images(base + "- *a\n" * (aliases + 10))


def test_warnings_are_bounded() -> None:
    assert len(read_images("- x\n" * 5000).warnings) <= 101


def test_nothing_is_built() -> None:
    mention = only("- step: {name: a, image: !!python/object/apply:os.system ['true']}")
    assert "isn't text" in str(mention.problem)


# --- what serves them ---------------------------------------------------------


def test_report(acme, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-ml-image")
    report = check_yaml(organization=acme, content=WHOLE)
    results = [row.result for row in report.rows]
    assert results == [
        Result.SERVED,
        Result.PUBLIC,
        Result.PRIVATE,
        Result.PRIVATE,
        Result.PUBLIC,
    ]
    assert not report.ok
    assert report.summary == "5 images: 1 served, 2 public, 2 without an entry."
    first, fourth = report.rows[0], report.rows[3]
    assert first.served and first.served.entry.pk == entry.pk
    assert first.sentence == f"Served by {HOST}/my-ml-image (AWS ECR (IAM credentials))."
    assert fourth.advice and fourth.advice.pattern == f"{HOST}/*"
    assert f"add an entry with {HOST}/*" in fourth.sentence
    told = report_json(report)
    assert told["ok"] is False and told["warnings"] == []
    assert told["images"][0] == {
        "line": 3,
        "where": "step train",
        "image": f"{HOST}/my-ml-image:v1.0",
        "result": "served",
        "detail": first.sentence,
        "entry": str(entry.pk),
        "image_pattern": f"{HOST}/my-ml-image",
    }


@pytest.mark.parametrize(
    ("image", "result"),
    [
        ("python", Result.PUBLIC),
        ("me/mine", Result.PUBLIC),
        ("index.docker.io/me/mine", Result.PUBLIC),
        ("public.ecr.aws/x/y", Result.PUBLIC),
        ("GHCR.io/me/x", Result.PUBLIC),
        ("ghcr.io:8443/me/x", Result.PRIVATE),
        ("ghcr.io.evil.com/me/x", Result.PRIVATE),
        ("eu.gcr.io/me/x", Result.PRIVATE),
        ("localhost/x", Result.PRIVATE),
        (f"{HOST}/x", Result.PRIVATE),
        (f"{HOST}.evil.com/x", Result.PRIVATE),
    ],
)
def test_public_or_private_looking(image: str, result: Result, acme) -> None:
    (row,) = check_yaml(organization=acme, content=step(image)).rows
    assert row.result is result


def test_an_entry_makes_a_hub_image_served(acme, make_entry) -> None:
    make_entry("me/*", registry_type="docker", config={"username": "me"}, secrets={"password": "p"})
    (row,) = check_yaml(organization=acme, content=step("me/mine")).rows
    assert row.result is Result.SERVED


def test_environment_disabled_and_other_organizations(acme, umbrella, gpu, make_entry) -> None:
    make_entry(environments=[gpu])
    make_entry(f"{HOST}/off", enabled=False)
    text = step(f"{HOST}/a") + step(f"{HOST}/off", "b")

    def results(organization, environment=None):
        report = check_yaml(organization=organization, content=text, environment=environment)
        return [row.result for row in report.rows]

    assert results(acme) == [Result.PRIVATE, Result.PRIVATE]
    assert results(acme, gpu) == [Result.SERVED, Result.SERVED]
    assert results(umbrella) == [Result.PRIVATE, Result.PRIVATE]


def test_an_invalid_image_is_not_ok(acme) -> None:
    report = check_yaml(organization=acme, content=step("''"))
    assert not report.ok and report.summary == "1 image: 1 not valid."
    assert check_yaml(organization=acme, content="- task: {}").summary == "No images in it."


def test_one_query_for_each_distinct_image(acme, make_entry) -> None:
    make_entry()
    for copies in (1, 50):
        text = "".join(step(f"{HOST}/{n % 2}", f"s{n}") for n in range(2 * copies))
        with CaptureQueriesContext(connection) as asked:
            assert len(check_yaml(organization=acme, content=text).rows) == 2 * copies
        assert len(asked) == 2

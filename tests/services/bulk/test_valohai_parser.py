"""The platform's own parser judges how a `valohai.yaml` is read here.

Its examples lie in `valohai_yaml_examples`, from the source package of the version that
requirements-dev.txt pins, unchanged and under its licence (MIT, beside them).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from valohai_yaml import parse
from valohai_yaml.excs import ValidationErrors
from valohai_yaml.objs import Config

from orgs.registries.problems import Refused
from orgs.services.bulk.files.valohai_yaml import read_images

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parent / "valohai_yaml_examples"
NAMES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml"))

# What the parser refuses and we read: what it objects to there is none of where an image
# stands. A file of our own kind of error (no image, no keys) is told of at that step.
READ_ANYWAY = {
    "error/endpoint-names-invalid.yaml": "names of endpoints",
    "error/input-name-too-long.yaml": "an input's name",
    "error/invalid-edge-parts.yaml": "a pipeline's edge",
    "error/invalid-indentation-with-valid-YAML.yaml": "a step that holds nothing",
    "error/invalid-on-error-value.yaml": "what a node does on an error",
    "error/invalid-shorthand-edge.yaml": "a pipeline's edge",
    "error/invalid-upload-store-value.yaml": "a store's name",
    "error/pipeline-with-null-autorestart-override.yaml": "a node that restarts",
    "error/step-invalid-resources.yaml": "a number of processors",
    "error/step-missing-required-properties.yaml": "an image that is no text, no command",
    "error/step-with-error-tasks.yaml": "what a task needs",
    "error/wrong-edge-merge-mode.yaml": "how edges merge",
    "warning/override-with-extra-fields-warning.yaml": "what a node may override",
}
# Those of them with an image that can't be pulled.
AT_AN_IMAGE = {
    "error/invalid-indentation-with-valid-YAML.yaml",
    "error/step-missing-required-properties.yaml",
}
REFUSALS = (ValidationErrors, yaml.YAMLError, TypeError, ValueError)


def images_of(config: Config) -> list[str]:
    """What the platform would pull: of steps, endpoints, and nodes that override a step's."""
    found = [item.image for item in (*config.steps.values(), *config.endpoints.values())]
    for pipeline in config.pipelines.values():
        for node in pipeline.nodes:
            if override := getattr(node, "override", None):
                found.append(override.image)
    return sorted(image.strip() for image in found if image is not None)


def ours(text: str) -> list[str]:
    return sorted(mention.text for mention in read_images(text).images)


def problems(text: str) -> list[str]:
    return [str(mention.problem) for mention in read_images(text).images if mention.problem]


def replaced(text: str) -> int:
    """How many items we say don't count."""
    return sum("only the last one counts" in w.sentence for w in read_images(text).warnings)


def duplicates_of(config: Config) -> int:
    return sum(warned.startswith("Duplicate ") for warned in config._parse_warnings or ())


def test_the_examples_are_there():
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", [name for name in NAMES if name not in READ_ANYWAY])
def test_its_own_examples(name):
    text = (EXAMPLES / name).read_text()
    try:
        config = parse(text)
    except REFUSALS:
        with pytest.raises(Refused):
            read_images(text)
        return
    assert ours(text) == images_of(config)
    assert duplicates_of(config) == replaced(text)


@pytest.mark.parametrize("name", READ_ANYWAY)
def test_examples_that_it_refuses_for_other_reasons(name):
    text = (EXAMPLES / name).read_text()
    with pytest.raises(REFUSALS):
        parse(text)
    assert bool(problems(text)) == (name in AT_AN_IMAGE)
    try:
        config = parse(text, validate=False)
    except (*REFUSALS, AttributeError):
        return
    assert ours(text) == images_of(config)


# --- small files of any kind ---------------------------------------------------------------

IMAGES = st.sampled_from(["python:3.12", "ghcr.io/me/train", " busybox ", "", "a.example.com/b"])
NAMED = st.sampled_from(["a", "b", "c"])
STEP = st.fixed_dictionaries(
    {"name": NAMED, "image": IMAGES, "command": st.just("run")}, optional={"icon": st.just("x")}
)
ENDPOINT = st.fixed_dictionaries({"name": NAMED, "image": IMAGES, "wsgi": st.just("x")})
OVERRIDE = st.fixed_dictionaries({}, optional={"image": IMAGES, "command": st.just("run")})
NODE = st.fixed_dictionaries(
    {"name": NAMED, "step": NAMED, "type": st.sampled_from(["execution", "task"])},
    optional={"override": OVERRIDE},
)
DEPLOYMENT_NODE = st.fixed_dictionaries(
    {"name": NAMED, "type": st.just("deployment"), "deployment": NAMED}
)
PIPELINE = st.fixed_dictionaries(
    {
        "name": NAMED,
        "nodes": st.lists(NODE | DEPLOYMENT_NODE, max_size=3),
        "edges": st.just([]),
    }
)
TASK = st.fixed_dictionaries({"name": NAMED, "step": NAMED, "type": st.just("grid_search")})
DEPLOYMENT = st.fixed_dictionaries({"name": NAMED})
KINDS = {
    "step": STEP,
    "task": TASK,
    "endpoint": ENDPOINT,
    "pipeline": PIPELINE,
    "blueprint": PIPELINE,
    "deployment": DEPLOYMENT,
    "stpe": STEP,
}
# Mostly of one kind, as people mean it; in any order, since the order in an item is nothing.
ITEM = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2, unique=True).flatmap(
    lambda kinds: st.fixed_dictionaries({kind: KINDS[kind] for kind in kinds})
)
FILES = st.lists(ITEM, min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(FILES, st.sampled_from([None, True, False]))
def test_any_small_file(items, flow):
    # Equal parts become anchors and aliases on their way.
    text = yaml.safe_dump(items, default_flow_style=flow, sort_keys=False)
    config = parse(text, validate=False)
    assert ours(text) == images_of(config)
    # A blueprint and a pipeline of one name are one to both, and only we warn of it.
    ours_alone = sum(
        1
        for name in "abc"
        if {"pipeline", "blueprint"}
        <= {kind_of(item) for item in items if item.get(kind_of(item), {}).get("name") == name}
    )
    assert replaced(text) == duplicates_of(config) + ours_alone
    unknown = [w for w in config._parse_warnings if w.startswith("No parser")]
    left_out = [w for w in read_images(text).warnings if "is left out." in w.sentence]
    two_kinds = sum(len(set(item) - {"stpe"}) > 1 for item in items)
    assert len(left_out) == len(unknown) + two_kinds


def kind_of(item: dict[str, Any]) -> str:
    return next((kind for kind in Config.get_top_level_parsers() if kind in item), "")


@given(st.text("- :{}[]&*<>stepimagnd\n'\"!", max_size=60))
def test_what_it_reads_is_read_and_what_it_refuses_harms_nobody(text):
    text = f"- step: {{name: a, image: b, command: c}}\n{text}"
    try:
        config = parse(text)
    except (*REFUSALS, AttributeError):
        config = None
    try:
        images = ours(text)
    except Refused:
        assert config is None
        return
    assert config is None or images == images_of(config)

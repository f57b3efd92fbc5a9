"""Files, YAML and patterns that cost more than their size: sent by people who are signed in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

from tests.support.hostile import HOSTILE

from ..people import Person, together
from ..scene import Scene


def _shared(count: int, name: str) -> str:
    """Lists that each hold the one before twice: 2**count as a tree."""
    lines = [f"  - &{name}0 [x]\n"]
    lines += [f"  - &{name}{i} [*{name}{i - 1}, *{name}{i - 1}]\n" for i in range(1, count)]
    return "".join(lines)


def _legitimate() -> str:
    rows = (
        f"{n:012d}.dkr.ecr.us-east-1.amazonaws.com/team/*,aws-ecr,AKIA{n:016d},{n:040d},us-east-1\n"
        for n in range(9000)
    )
    return "image_pattern,type,access_key_id,secret_access_key,region\n" + "".join(rows)


def _hostile() -> Mapping[str, Callable[[], str | bytes]]:
    """Those of the tests, and some."""
    own: dict[str, Callable[[], str | bytes]] = {
        "as-text.yaml": lambda: "- note:\n" + _shared(22, "a") + "- {type: docker, note: *a21}\n",
        "nested.yaml": lambda: "- {note: " + "[" * 800 + "]" * 800 + "}\n",
        "long-cells.csv": lambda: "image_pattern,type,note\n" + "a.b/c,docker," + "x" * 5_000_000,
    }
    return own | {n: file.content for n, file in HOSTILE.items() if "valohai.yaml" not in n}


def files(scene: Scene, seconds: float) -> dict[str, object]:
    """Eight files in work at once, each uploaded and previewed by an org admin of its own."""
    people = [Person(scene.address, f"admin-{n}@theirs.example.com") for n in range(8)]
    made = {"legitimate.csv": _legitimate, **_hostile()}
    content = {name: make() for name, make in made.items()}
    names = itertools.cycle(content)
    path = f"/organizations/{scene.theirs.slug}/registries/import/"

    def one(number: int) -> str:
        name = next(names)
        answer = people[number].post(path, {}, page=path, files={"file": (name, content[name])})
        previewed = answer.url.rstrip("/").count("-") == 4  # a draft's id
        return f"{name}: {answer.status_code}{' previewed' if previewed else ''}"

    return {"answers": together(8, time.monotonic() + seconds, one), "files": len(content)}


def valohai_yaml(scene: Scene, seconds: float) -> dict[str, object]:
    """Four hostile valohai.yaml at once, pasted into *Check an image* by a member."""
    person = Person(scene.address, scene.theirs.member)
    path = f"/organizations/{scene.theirs.slug}/registries/check/"
    step = "- step:\n    name: s{0}\n    image: a.b/c{0}\n    command: x\n"
    many_keys = "- &a {" + ",".join(f"k{i}: v" for i in range(5000)) + "}\n" + "- *a\n" * 2000
    texts = {
        "one-step-many-times": many_keys,
        "shared-lists": "- step:\n" + _shared(20, "a") + "- *a19\n",
        "many-steps": "".join(step.format(n) for n in range(4000)),
        "nested": "[" * 900 + "]" * 900,
    }
    names = itertools.cycle(texts)

    def one(_: int) -> str:
        name = next(names)
        answer = person.post(path, {"yaml-text": texts[name]}, page=path)
        return f"{name}: {answer.status_code}"

    return {"answers": together(4, time.monotonic() + seconds, one)}


def patterns(scene: Scene, seconds: float) -> dict[str, object]:
    """18,000 pasted patterns, in the help while typing and in the form."""
    person = Person(scene.address, scene.theirs.admin)
    root = f"/organizations/{scene.theirs.slug}/registries"
    pasted = "\n".join(f"r.io/t{n}" for n in range(18_000))  # below the limit of a form's bytes
    fields = {"registry_type": "docker", "patterns": pasted, "username": "robot", "password": "x"}

    def one(number: int) -> str:
        where = "help" if number % 2 else "new"
        sent = {k: v for k, v in fields.items() if where == "new" or k != "password"}
        answer = person.post(f"{root}/{where}/", sent, page=f"{root}/new/")
        return f"{where}: {answer.status_code}"

    return {"answers": together(4, time.monotonic() + seconds, one)}

"""No file costs more than its size allows, whoever sends it; and each has its sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import BytesIO

import pytest

from orgs.services.bulk.files import Rows, apart
from orgs.services.bulk.files.rows import BrokenFile, NearMisses
from orgs.services.bulk.files.valohai_yaml import read_images
from orgs.services.bulk.reading import MOST_TOLD, SpecReader
from tests.conftest import CANARY
from tests.support import PROJECT_ROOT
from tests.support.hostile import HOSTILE
from tests.support.measured import read

pytestmark = pytest.mark.once

# The bounds are a second and 100 MiB. Processor time is that of this work alone,
# but on a busy machine caches are cold: hence twice that.
MOST_CPU = 2.0
MOST_MEMORY = 100.0


@pytest.fixture(scope="module")
def costs(tmp_path_factory) -> dict[str, dict]:
    """Each file read in a process of its own, see `tests.support.measured`."""
    directory = tmp_path_factory.mktemp("hostile")
    lines = []
    for name, hostile in HOSTILE.items():
        (directory / name).write_bytes(hostile.content())
        lines.append(json.dumps([name, str(directory / name)]))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.measured"],
        input="\n".join(lines),
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_DATABASE": ""},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    return dict(json.loads(line) for line in ended.stdout.splitlines())


@pytest.mark.parametrize("name", HOSTILE)
def test_what_it_costs_and_what_is_told(costs, name):
    cost = costs[name]
    assert cost["cpu"] < MOST_CPU
    assert cost["memory"] < MOST_MEMORY
    assert cost["lookups"] <= 40  # 20 among environments, 20 among columns
    expected = HOSTILE[name].code
    codes = [code for code, _ in cost["told"]]
    assert expected in codes if expected else codes == []
    for _, sentences in cost["told"]:
        assert sentences.isprintable() and len(sentences) < 600
        assert ". " in sentences  # what happened, and what to do
        assert not sentences.startswith("row 0")


def calls(name: str, content: bytes) -> int:
    """How many functions are called for it, those of C included."""
    count = 0

    def tally(frame: object, event: str, function: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tally)
    try:
        read(name, content)
    finally:
        sys.setprofile(None)
    return count


GROWING = [name for name, hostile in HOSTILE.items() if hostile.size >= 10]


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_file_is_at_most_twice_the_work(name):
    hostile = HOSTILE[name]
    size = max(4, min(hostile.size // 4, 100))
    once, twice = hostile.content(size), hostile.content(2 * size)
    read(name, once)
    work, more = calls(name, once), calls(name, twice)
    assert more < 2.2 * max(1, len(twice) / len(once) / 2) * work + 2_000


# --- what is looked up ---------------------------------------------------------------


def test_near_misses_are_looked_up_once_for_a_word_and_not_for_ever():
    near = NearMisses([f"gpu-{number}" for number in range(10_000)], most=3)
    assert len(near.known) == NearMisses.KNOWN
    assert [near.of("gpu_7") for _ in range(50)] == ["gpu-7"] * 50 and near.count == 1
    assert near.of("gpu" * 50) is None and near.count == 1
    assert near.of("nothing") is None and near.of("nothing") is None and near.count == 2
    assert near.of("gpu-42x") and near.count == 3
    assert near.of("gpu-43x") is None and near.of("gpu_7") == "gpu-7" and near.count == 3


def test_of_one_row_not_more_is_told_than_anyone_reads():
    file = BytesIO(
        b"image_pattern,type\n" + " ".join(f"A/{n}:v" for n in range(100)).encode() + b",docker\n"
    )
    (row,) = Rows(file, "csv")
    row_spec = SpecReader({}).read(row)
    assert row_spec.found is not None
    row_spec.refuse(*row_spec.found.problems)
    assert len(row_spec.errors()) == MOST_TOLD < len(row_spec.refusals)


# --- in a process of its own -----------------------------------------------------------


def told(rows) -> list:
    try:
        return [(row.number, dict(row.cells), list(row.errors)) for row in rows]
    except BrokenFile as broken:
        return [broken.errors]


def as_cells(rows: list) -> list:
    """Lists and mappings, which no cell is, all alike."""
    return json.loads(json.dumps(rows, default=lambda value: getattr(value, "__dict__", "")))


@pytest.mark.parametrize(
    "name", [n for n, hostile in HOSTILE.items() if hostile.size == 1 and "valohai" not in n]
)
def test_apart_or_not_the_same_is_read(name):
    content, format = HOSTILE[name].content(), name.rpartition(".")[2]
    here = told(Rows(BytesIO(content), format))
    twice = apart.ReadRows(content, format)
    assert as_cells(told(twice)) == as_cells(told(twice)) == as_cells(here)


def test_what_no_cell_can_be_stays_so():
    content = b'[{"note": [[]], "region": {"a": 1}, "environments": ["a", "b"], "enabled": true}]'
    (row,) = apart.ReadRows(content, "json")
    assert row.cells == {"note": {}, "region": {}, "environments": ["a", "b"], "enabled": True}


def test_images_apart_or_not():
    text = "- step: {name: a, image: python}\n- step: {name: a, image: 1}\n- x\n"
    assert apart.read_images(text) == apart.read_images(text.encode()) == read_images(text)


def test_one_row_more_than_an_upload_may_have_and_no_further():
    content = b"image_pattern,type\n" + b"a,b\n" * 20_000
    assert sum(1 for _ in apart.ReadRows(content, "csv")) == 10_001


@pytest.fixture
def process(monkeypatch):
    """The process runs this instead, and is given up after a second."""

    def instead(code: str) -> None:
        run = subprocess.run
        monkeypatch.setattr(
            apart.subprocess,
            "run",
            lambda command, **rest: run([*command[:3], "-c", code], **rest),
        )
        monkeypatch.setattr(apart, "DEADLINE", 1.0)

    return instead


LIMITED = "from orgs.services.bulk.files import __main__ as it; it.limit(); "


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        LIMITED + "x = bytearray(10**9); print('[null, []]')",
        "print('[1, {}, []]')",
        "print('[null, [')",
        "import os; os.kill(os.getpid(), 11)",
        "raise ValueError(open(0).read())",
    ],
)
def test_one_that_takes_too_much_is_ended_and_told_of(process, code, capfd, caplog):
    process(code)
    rows = apart.ReadRows(CANARY.encode(), "csv")
    for _ in range(2):
        with pytest.raises(BrokenFile, match="more work than a file of its size should"):
            list(rows)
    assert CANARY not in str(capfd.readouterr()) + caplog.text
    assert "Reading a file of the format csv ended" in caplog.text
    with pytest.raises(ValueError, match="more work than a file"):
        apart.read_images(CANARY)


def test_it_may_write_no_file_and_work_no_longer_than_it_may(tmp_path):
    def ended(code: str) -> int:
        code = (
            f"from orgs.services.bulk.files import __main__ as it; it.CPU = 1; it.limit()\n{code}"
        )
        return subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, timeout=60).returncode

    assert ended("while True: pass") in (-signal.SIGXCPU, -signal.SIGKILL)
    write = f"import os; os.write(os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_RDWR), b'x')"
    assert ended(write) == 1 and not (tmp_path / "x").read_bytes()


def test_nothing_of_this_process_is_in_it(process, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", CANARY)
    process(
        'import os, sys; sys.stdin.read(); print(\'[1, {"note": "%s %s"}, []]\' % '
        "(sorted(os.environ), [m for m in ('django', 'botocore') if m in sys.modules])); "
        "print('[null, []]')"
    )
    (row,) = apart.ReadRows(b"", "csv")
    assert row.cells["note"].startswith("[") and CANARY not in row.cells["note"]
    assert set(eval(row.cells["note"].split("] ")[0] + "]")) <= {"LC_CTYPE"}


def test_reading_needs_no_framework():
    """Or each file would take a second to begin with."""
    code = "import sys, orgs.services.bulk.files.__main__; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=PROJECT_ROOT)
    loaded = set(names.stdout.decode().split())
    assert "yaml" in loaded and not loaded & {"django", "botocore", "openpyxl"}

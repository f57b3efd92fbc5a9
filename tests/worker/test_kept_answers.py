"""The few lines of shell and Python that give an answer again while it is fresh.

That it came from them is seen by the login being gone and the server dead.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import HOST
from tests.worker.conftest import (
    HELPER,
    IMAGE,
    PROVIDER,
    TOKEN,
    FakeServer,
    Worker,
    docker_login,
    refusal,
)

pytestmark = pytest.mark.once


@pytest.fixture
def kept(worker: Worker, server: FakeServer) -> Worker:
    """A worker with an answer and nothing else to answer with."""
    server.replies = [docker_login(), refusal(503, "busy")]
    assert worker.password() == "first"
    for path in worker.cache.glob("*.json"):
        path.unlink()
    worker.env["VALOHAI_REGISTRIES_TIMEOUT"] = "0.2"
    return worker


def gives(worker: Worker, asked: str = IMAGE, **env: str | None) -> bool:
    """Whether the answer that is kept is given; the server has none."""
    done = worker.get(asked, **env)
    assert done.returncode == 0 or done.stdout.startswith("busy: "), done.stdout + done.stderr
    return done.returncode == 0


def test_it_is_the_very_answer(kept: Worker, server: FakeServer) -> None:
    assert gives(kept) and gives(kept)
    done = kept.get()
    assert (done.stdout, done.stderr) == (
        f'{{"ServerURL": "{HOST}", "Username": "AWS", "Secret": "first"}}\n',
        "",
    )
    assert len(server.asked) == 1


def test_blanks_around_a_question_are_none_of_it(kept: Worker) -> None:
    assert gives(kept, f" {IMAGE}\n")


def test_by_host_with_the_jobs_image(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(), refusal(503, "busy")]
    for _ in range(2):
        assert worker.password(HOST, VALOHAI_IMAGE=IMAGE) == "first"
    assert len(server.asked) == 1 and len(worker.answers()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALOHAI_REGISTRIES_URL", "http://127.0.0.1:9"),
        ("VALOHAI_PROJECT", "another"),
        ("VALOHAI_ENVIRONMENT", "gpu"),
        ("VALOHAI_IMAGE", f"{HOST}/another"),
        ("VALOHAI_REGISTRIES_TOKEN", "vrw_another_secret"),
        ("VALOHAI_REGISTRIES_TOKEN", None),
        ("VALOHAI_REGISTRIES_TOKEN", "odd"),
        ("VALOHAI_REGISTRIES_TOKEN_FILE", "/nowhere"),
        ("HOME", "/nowhere"),
        ("HOME", None),
        ("XDG_CACHE_HOME", "/nowhere"),
        ("XDG_CACHE_HOME", "relative"),
        ("VALOHAI_PROJECT", "a\nb"),
    ],
)
def test_only_in_just_this_set_up(kept: Worker, name: str, value: str | None) -> None:
    assert kept.get(**{name: value}).returncode == 1
    assert gives(kept)


@pytest.mark.parametrize(
    "asked",
    [
        HOST,
        IMAGE.replace("v1.0", "v2.0"),
        IMAGE + "\nx",
        IMAGE + "\0",
        IMAGE + '"',
        "'" + IMAGE,
        "$(true)" + IMAGE,
        IMAGE.upper(),
        "x" * 4096 + IMAGE,
        IMAGE + "x" * 100_000,
        "",
    ],
    ids=lambda asked: repr(asked)[:40],
)
def test_only_to_just_this_question(kept: Worker, asked: str) -> None:
    done = kept.run("get", stdin=asked)
    assert (done.returncode, '"Secret"' in done.stdout) == (1, False)


def test_bytes_that_are_no_text(kept: Worker) -> None:
    done = kept.run("get", stdin=b"\xff\xfe" + IMAGE.encode())
    assert done.stdout.startswith("invalid_request: Standard input isn't UTF-8")


@pytest.mark.parametrize("name", ["worker.json", "token", "program"])
def test_not_after_a_file_of_the_set_up_changed(
    worker: Worker, server: FakeServer, tmp_path: Path, name: str
) -> None:
    program = tmp_path / HELPER.name
    shutil.copy(HELPER, program)
    worker.env["VALOHAI_REGISTRIES_TOKEN_FILE"] = str(worker.home / "token")
    del worker.env["VALOHAI_REGISTRIES_TOKEN"]
    (worker.home / "token").write_text(TOKEN)
    set_up = worker.home / ".config" / "valohai-registries" / "worker.json"
    set_up.parent.mkdir(parents=True)
    set_up.write_text("{}")
    server.replies = [docker_login(), refusal(503, "busy")]
    assert worker.run("get", stdin=IMAGE, program=program).returncode == 0
    for path in worker.cache.glob("*.json"):
        path.unlink()
    assert worker.run("get", stdin=IMAGE, program=program).returncode == 0
    changed = {"worker.json": set_up, "token": worker.home / "token", "program": program}[name]
    changed.write_text(changed.read_text() + "\n")
    worker.env["VALOHAI_REGISTRIES_TIMEOUT"] = "0.2"
    assert worker.run("get", stdin=IMAGE, program=program).returncode == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"fresh_until": time.time() - 1},
        {"expires_at": time.time() - 1},
        {"kept_at": time.time() + 3600},  # this machine's clock was set back
        {"fresh_until": "nan"},
        {"expires_at": "soon"},
        {"kept_at": ""},
    ],
)
def test_only_while_it_is_fresh(kept: Worker, changed: dict[str, object]) -> None:
    kept.age(**changed)
    assert not gives(kept)


def test_one_that_never_ends(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(expires=None), refusal(503, "busy")]
    assert worker.password() == worker.password() == "first"
    assert " inf\n" in worker.answers()[0].read_text()


def others_may_read(path: Path) -> None:
    path.chmod(0o644)


def a_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def somebody_elses(path: Path) -> None:
    os.chown(path, 65534, -1)


def another_question(path: Path) -> None:
    path.write_text(path.read_text().replace("my-ml-image", "another"))


def of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        *(others_may_read, a_link, another_question),
        pytest.param(
            somebody_elses, marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
        ),
        *map(of, (b"", b"\n\n", b"1 2\n{}\n", b"\xff" * 100, b"1 9e99 9e99\n{}\n", b"[]")),
    ],
)
def test_one_that_may_not_be_ours_is_not_given(kept: Worker, spoil: Callable[[Path], None]) -> None:
    (path,) = kept.answers()
    spoil(path)
    assert not gives(kept)


def test_it_is_for_the_person_alone_and_holds_no_token(kept: Worker) -> None:
    (path,) = kept.answers()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in path.read_text() and TOKEN.split("_")[2] not in path.read_text()


def test_erased_and_refused_ones_are_gone(worker: Worker, server: FakeServer) -> None:
    worker.password()
    worker.run("erase", stdin=HOST)
    assert worker.answers() == []
    worker.password()
    worker.outdate()
    server.replies = [refusal(403, "token_revoked")]
    assert worker.get().returncode == 1
    assert worker.answers() == []


def test_no_other_name_nor_word_is_answered_so(kept: Worker) -> None:
    for program, words in ((PROVIDER, ["get"]), (HELPER, ["get", ""]), (HELPER, ["get get"])):
        done = kept.run(*words, stdin=IMAGE, program=program)
        assert (done.returncode, '"Secret"' in done.stdout) == (1, False)


def test_where_to_keep_it_is_nobodys_to_say(worker: Worker, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.answer"
    assert worker.password(VALOHAI_KEEP_ANSWER=f"{elsewhere}\nx") == "first"
    done = subprocess.run(
        ["python3", HELPER, "get"],
        input=IMAGE.encode(),
        capture_output=True,
        env=worker.env | {"VALOHAI_KEEP_ANSWER": f"{elsewhere}\nx"},
    )
    assert done.returncode == 0 and not elsewhere.exists()


def test_modules_of_the_directory_it_runs_in_are_not_taken(kept: Worker, tmp_path: Path) -> None:
    for name in ("os", "sys", "time", "site", "sitecustomize", "encodings", "codecs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
    for place in ({}, {"PYTHONPATH": str(tmp_path)}, {"PYTHONSTARTUP": str(tmp_path / "os.py")}):
        done = subprocess.run(
            [HELPER, "get"],
            input=IMAGE.encode(),
            capture_output=True,
            env=kept.env | place,
            cwd=tmp_path,
        )
        assert b'"first"' in done.stdout, done.stderr


SHELLS = [shell for shell in ("sh", "dash", "bash --posix", "busybox sh", "ksh", "zsh")
          if shutil.which(shell.split()[0])]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_any_shell_reads_it(kept: Worker, server: FakeServer, shell: str) -> None:
    words = shell.split()
    for asked, found in ((IMAGE, b'"first"'), (HOST, b"credentials not found")):
        done = subprocess.run(
            [*words, str(HELPER), "get"], input=asked.encode(), capture_output=True, env=kept.env
        )
        assert found in done.stdout, done.stderr
    done = subprocess.run([*words, str(HELPER), "--version"], capture_output=True, env=kept.env)
    assert done.stdout.startswith(b"docker-credential-valohai (")


def test_next_to_nothing_is_imported(kept: Worker) -> None:
    python = kept.home / "bin" / "python3"
    python.write_text(python.read_text().replace(' "$@"', ' -X importtime "$@"'))
    done = kept.get()
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert loaded and not loaded & {"json", "re", "site", "enum", "functools", "zlib", "threading"}

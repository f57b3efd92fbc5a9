"""The helper's cache: what is kept where, how long, and when an older login may serve."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOST
from tests.support import require_program, skip_or_fail

from .conftest import HELPER, IMAGE, TOKEN, FakeServer, Reply, Worker, docker_login, refusal

pytestmark = pytest.mark.once


def new() -> dict[str, Any]:
    """Made when it's used: one of when the suite began would be outdated by now."""
    return docker_login(password="second")


def test_a_kept_login_serves_until_refresh_at(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(), new()]
    assert [worker.password(), worker.password()] == ["first", "first"]
    assert len(server.asked) == 1
    worker.outdate()
    assert [worker.password(), worker.password()] == ["second", "second"]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"VALOHAI_REGISTRIES_TOKEN": TOKEN.replace("0123456789abcdef", "fedcba9876543210")},
        {"VALOHAI_PROJECT": "another"},
        {"VALOHAI_ENVIRONMENT": "gpu"},
        {"VALOHAI_IMAGE": IMAGE},
        {"VALOHAI_IMAGE": f"{HOST}/another"},
    ],
)
def test_whatever_decides_the_answer_is_in_the_key(
    worker: Worker, server: FakeServer, changed: dict[str, str]
) -> None:
    server.replies = [docker_login(), new()]
    assert worker.password(HOST) == "first"
    assert worker.password(HOST, **changed) == "second"
    assert worker.password(HOST) == "first"
    assert worker.password(HOST, **changed) == "second"


def test_another_server_address_has_its_own(worker: Worker, server: FakeServer) -> None:
    assert worker.password() == "first"
    server.replies = [new()]
    by_name = server.url.replace("127.0.0.1", "localhost")
    assert worker.password(VALOHAI_REGISTRIES_URL=by_name) == "second"
    assert worker.password(VALOHAI_REGISTRIES_URL=f"{server.url}/") == "first"


def test_a_token_with_the_same_key_id_is_the_same_asker(worker: Worker, server: FakeServer) -> None:
    """Only the server can tell a false secret; what is kept is in this person's own files."""
    worker.password()
    assert worker.password(VALOHAI_REGISTRIES_TOKEN="vrw_0123456789abcdef_other") == "first"


@pytest.mark.parametrize("token", ["nounderscores", "vrw_short"])
def test_a_token_of_another_shape_is_kept_apart_by_its_digest(
    worker: Worker, server: FakeServer, token: str
) -> None:
    server.replies = [docker_login(), new()]
    worker.password()
    assert worker.password(VALOHAI_REGISTRIES_TOKEN=token) == "second"
    assert not any(token in path.read_text() for path in worker.kept())


def test_it_is_for_the_person_alone(worker: Worker) -> None:
    os.umask(0o022)
    worker.password()
    (path,) = worker.kept()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(worker.cache.stat().st_mode) == 0o700


def test_a_directory_open_to_others_is_closed(worker: Worker) -> None:
    worker.cache.mkdir(parents=True, mode=0o777)
    worker.cache.chmod(0o777)
    worker.password()
    assert stat.S_IMODE(worker.cache.stat().st_mode) == 0o700


def test_xdg_cache_home(worker: Worker, tmp_path: Path) -> None:
    worker.password(XDG_CACHE_HOME=str(tmp_path / "xdg"))
    found = (tmp_path / "xdg" / "valohai-registries").iterdir()
    assert sorted(path.suffix for path in found) == [".answer", ".json"]
    assert worker.kept() == []


def test_a_refresh_time_far_ahead_counts_for_ten_minutes(
    worker: Worker, server: FakeServer
) -> None:
    """The server's clock, or whoever altered the answer, may be hours off."""
    server.replies = [docker_login(refresh=7200, expires=None)]
    worker.password()
    (path,) = worker.kept()
    kept = json.loads(path.read_text())
    assert kept["fresh_until"] - kept["kept_at"] == pytest.approx(600)
    worker.age(kept_at=time.time() + 3600)  # this machine's clock was set back
    worker.password()
    assert len(server.asked) == 2


# When the server can't say


def dead(worker: Worker, server: FakeServer) -> None:
    """Nothing listens any more; the address, and so the key, is the same."""
    server.close()


def answering(*replies: Reply) -> Any:
    def prepare(worker: Worker, server: FakeServer) -> None:
        server.replies = list(replies)

    return prepare


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(dead, id="dead"),
        pytest.param(answering(refusal(503, "busy", Retry_After="1")), id="503"),
        pytest.param(answering(refusal(429, "rate_limited", Retry_After="1")), id="429"),
        pytest.param(answering(Reply(500, b"<h1>Server Error</h1>")), id="500"),
        pytest.param(answering(Reply(502, b"")), id="502"),
        pytest.param(answering(Reply(200, b"{}", {"Content-Length": "9999"})), id="cut off"),
    ],
)
def test_an_older_login_serves_while_unexpired(
    worker: Worker, server: FakeServer, trouble: Any
) -> None:
    worker.password()
    worker.outdate()
    trouble(worker, server)
    started = time.monotonic()
    assert worker.password(VALOHAI_REGISTRIES_TIMEOUT="2") == "first"
    assert time.monotonic() - started < 3  # nobody waits for a retry
    worker.age(expires_at=time.time() - 1)
    done = worker.get(VALOHAI_REGISTRIES_TIMEOUT="0.2")
    assert done.returncode == 1 and "first" not in done.stdout


def test_a_static_password_has_no_end(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(expires=None)]
    worker.password()
    worker.outdate()
    server.close()
    assert worker.password() == "first"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "x"), (403, "x"), (404, "x"), (404, "no_match"), (409, "x"), (422, "x")],
)
def test_a_refusal_deletes_it(worker: Worker, server: FakeServer, status: int, code: str) -> None:
    worker.password()
    worker.outdate()
    server.replies = [refusal(status, code)]
    assert worker.get().returncode == 1
    assert worker.kept() == []


@pytest.mark.parametrize("status", [400, 405, 413, 301])
def test_other_refusals_neither_serve_nor_delete_it(
    worker: Worker, server: FakeServer, status: int
) -> None:
    worker.password()
    worker.outdate()
    server.replies = [refusal(status, "a_reason")]
    assert worker.get().returncode == 1
    assert len(worker.kept()) == 1


def test_an_altered_answer_serves_nothing(worker: Worker, server: FakeServer) -> None:
    worker.password()
    worker.outdate()
    server.replies = [docker_login("evil.example.com")]
    assert worker.get().stdout.startswith("answer_refused: ")


# Disks


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"username": "AWS"}',
        b'{"kept_at": "x"}',
        None,
    ],
)
def test_junk_is_no_login(worker: Worker, server: FakeServer, content: bytes | None) -> None:
    server.replies = [docker_login(), new()]
    worker.password()
    (path,) = worker.kept()
    worker.forget_answers()
    if content is None:  # one field of the wrong kind
        worker.age(expires_at="tomorrow")
    else:
        path.write_bytes(content)
    assert worker.run("list").stdout == "{}\n"
    assert worker.password() == "second"


def test_another_keys_login_is_not_taken(worker: Worker, server: FakeServer) -> None:
    """The name is a checksum; the record itself says whose it is."""
    server.replies = [docker_login(), new()]
    worker.password()
    worker.forget_answers()
    worker.age(key=["https://elsewhere.example.com", "x", "y", "", HOST])
    assert worker.password() == "second"


def test_a_file_that_others_may_read_or_a_link_is_not_taken(
    worker: Worker, server: FakeServer, tmp_path: Path
) -> None:
    server.replies = [docker_login(), new(), docker_login(password="third")]
    worker.password()
    (path,) = worker.kept()
    path.chmod(0o644)
    worker.forget_answers()
    assert worker.password() == "second"
    worker.forget_answers()
    elsewhere = tmp_path / "planted.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert worker.password() == "third"
    assert json.loads(elsewhere.read_text())["password"] == "second"


def test_a_place_that_cannot_be_written_costs_no_login(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert worker.password(XDG_CACHE_HOME=str(tmp_path / "file")) == "first"
    assert worker.password(XDG_CACHE_HOME="/proc/nowhere") == "first"


@pytest.mark.parametrize(("mounted", "full"), [("ro", False), ("size=64k", True)])
def test_a_read_only_or_full_disk_costs_no_login(
    worker: Worker, server: FakeServer, tmp_path: Path, mounted: str, full: bool
) -> None:
    """On a disk of its own, in a mount namespace of its own."""
    for program in ("unshare", "mount"):
        require_program(program)
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        skip_or_fail("needs root: mounts a disk in a namespace of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"dd if=/dev/zero of={disk}/full bs=4k 2>/dev/null;" if full else ""
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c"),
            f"mount -t tmpfs -o {mounted} none {disk}; {fill} "
            f'"$@"; echo "$?" >&2; find {disk} -type f ! -name full >&2',
            *("sh", str(HELPER), "get"),
        ],
        input=HOST,
        env=worker.env | {"XDG_CACHE_HOME": str(disk)},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["Secret"] == "first", done.stderr
    assert done.stderr == "0\n"  # and no half of a file was left


def test_many_at_once_leave_one_whole_file(worker: Worker, server: FakeServer) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: worker.password(), range(6))) == {"first"}
    assert len(worker.kept()) == 1
    assert worker.password() == "first"


def test_what_nobody_renewed_for_a_day_is_dropped(worker: Worker, server: FakeServer) -> None:
    worker.password()
    (old,) = worker.kept()
    leftover = worker.cache / "12345678.json.999"
    leftover.write_text("half a")
    for path in (old, leftover):
        os.utime(path, (time.time() - 90000,) * 2)
    worker.password(VALOHAI_PROJECT="another")
    assert old not in worker.kept() and leftover not in worker.kept()
    assert len(worker.kept()) == 1

"""docker-credential-valohai by Docker's credential-helper protocol: verbs, strings, streams."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import HOST

from .conftest import (
    HELP,
    HELPER,
    IMAGE,
    PROJECT,
    PROVIDER,
    TOKEN,
    FakeServer,
    Reply,
    Worker,
    docker_login,
    refusal,
)

pytestmark = pytest.mark.once
HUB_KEY = "https://index.docker.io/v1/"
NOT_FOUND = "credentials not found in native keychain\n"


def test_get_prints_the_login(worker: Worker, server: FakeServer) -> None:
    done = worker.get(f"{HOST}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"ServerURL": HOST, "Username": "AWS", "Secret": "first"}
    (asked,) = server.asked
    assert asked.path == "/api/v0/docker-login/"
    assert asked.body == {"project": PROJECT, "server": HOST}
    assert asked.headers["Authorization"] == f"Token {TOKEN}"


@pytest.mark.parametrize(
    ("asked", "body", "answered", "server_url"),
    [
        (HOST, {"server": HOST}, HOST, HOST),
        (f"https://{HOST}", {"server": HOST}, HOST, f"https://{HOST}"),
        (f"https://{HOST}/v2/", {"server": HOST}, HOST, f"https://{HOST}/v2/"),
        (HOST.upper(), {"server": HOST.upper()}, HOST.upper(), HOST.upper()),
        (HUB_KEY, {"server": "index.docker.io"}, "index.docker.io", HUB_KEY),
        ("index.docker.io/v1/", {"server": "index.docker.io"}, "docker.io", "index.docker.io/v1/"),
        ("docker.io", {"server": "docker.io"}, "docker.io", "docker.io"),
        ("localhost:5000", {"server": "localhost:5000"}, "localhost:5000", "localhost:5000"),
        ("registry:5000", {"server": "registry:5000"}, "registry:5000", "registry:5000"),
        (f"{HOST}:443", {"server": f"{HOST}:443"}, f"{HOST}:443", f"{HOST}:443"),
        (IMAGE, {"image": IMAGE}, HOST, HOST),
        (f"{IMAGE}@sha256:{'a' * 64}", {"image": f"{IMAGE}@sha256:{'a' * 64}"}, HOST, HOST),
        ("h:5000/app:v1", {"image": "h:5000/app:v1"}, "h:5000", "h:5000"),
        ("me/app:v1", {"image": "me/app:v1"}, "docker.io", HUB_KEY),
        ("ubuntu", {"image": "ubuntu"}, "docker.io", HUB_KEY),
        ("ubuntu:22.04", {"image": "ubuntu:22.04"}, "docker.io", HUB_KEY),
    ],
)
def test_servers_and_images(
    worker: Worker,
    server: FakeServer,
    asked: str,
    body: dict[str, str],
    answered: str,
    server_url: str,
) -> None:
    server.replies = [docker_login(answered)]
    done = worker.get(asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ServerURL"] == server_url
    assert server.asked[0].body == {"project": PROJECT, **body}


@pytest.mark.parametrize(
    ("asked", "job_image", "body"),
    [
        (HOST, IMAGE, {"image": IMAGE}),
        (f"https://{HOST}/", f"{HOST}:443/app", {"image": f"{HOST}:443/app"}),
        (HUB_KEY, "me/app", {"image": "me/app"}),
        ("docker.io", "index.docker.io/me/app", {"image": "index.docker.io/me/app"}),
        (HOST, "me/app", {"server": HOST}),
        (HOST, f"{HOST}.evil.com/app", {"server": HOST}),
        (HOST, f"{HOST}:5000/app", {"server": HOST}),
        (f"{HOST}/other:v2", IMAGE, {"image": f"{HOST}/other:v2"}),
    ],
)
def test_the_jobs_image_decides_where_its_host_is_asked(
    worker: Worker, server: FakeServer, asked: str, job_image: str, body: dict[str, str]
) -> None:
    server.replies = [docker_login("docker.io" if "docker" in asked else HOST)]
    assert worker.get(asked, VALOHAI_IMAGE=job_image).returncode == 0
    assert server.asked[0].body == {"project": PROJECT, **body}


@pytest.mark.parametrize("verb", ["get", "erase"])
@pytest.mark.parametrize("stdin", ["", "  \n"])
def test_no_server(worker: Worker, verb: str, stdin: str) -> None:
    done = worker.run(verb, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "no credentials server URL\n")


@pytest.mark.parametrize(
    "asked",
    ["a b", f"{HOST}\t/x", "hôst.example/app", "host/*", b"\xff\xfe"],
)
def test_what_is_no_server_is_refused_here(
    worker: Worker, server: FakeServer, asked: str | bytes
) -> None:
    done = worker.run("get", stdin=asked)
    assert done.returncode == 1
    assert done.stdout.startswith(("invalid_image: ", "invalid_request: "))
    assert not server.asked


def test_no_match_is_not_found_and_nothing_else(worker: Worker, server: FakeServer) -> None:
    server.replies = [refusal(404, "no_match", "No entry of Acme serves it.")]
    for asked in (IMAGE, HOST):
        done = worker.get(asked)
        assert (done.returncode, done.stdout) == (1, NOT_FOUND)
        assert done.stderr == "no_match: No entry of Acme serves it.\n"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_image"),
        (401, "token_revoked"),
        (403, "personal_project"),
        (404, "project_not_found"),
        (409, "ambiguous_server"),
        (413, "too_large"),
        (422, "access_denied"),
        (503, "registry_unreachable"),
    ],
)
def test_other_refusals_are_told_on_both_streams(
    worker: Worker, server: FakeServer, status: int, code: str
) -> None:
    server.replies = [refusal(status, code, "What happened. What to do.", Retry_After="99")]
    done = worker.get()
    assert done.returncode == 1
    assert done.stdout == f"{code}: What happened. What to do.\n"
    assert done.stderr == f"{code}: What happened. What to do.\n{HELP}\n"
    assert len(server.asked) == 1


def test_a_refusal_cannot_touch_the_terminal_or_show_the_token(
    worker: Worker, server: FakeServer
) -> None:
    body = {"code": "x", "detail": f"\x1b[2J{TOKEN}\nno", "help": "javascript:alert(1)"}
    server.replies = [Reply(403, body)]
    done = worker.get()
    assert done.stdout == done.stderr == "x: [2J… no\n"


def test_store_validates_then_declines(worker: Worker) -> None:
    def store(given: object) -> str:
        text = given if isinstance(given, str) else json.dumps(given)
        done = worker.run("store", stdin=text)
        assert done.returncode == 1
        return done.stdout

    login = {"ServerURL": HOST, "Username": "AWS", "Secret": "s"}
    assert store(login).startswith("not_implemented: ")
    assert store(login | {"ServerURL": ""}) == "no credentials server URL\n"
    assert store(login | {"Username": ""}) == "no credentials username\n"
    assert store("{").startswith("invalid_request: ")
    assert store("[]").startswith("invalid_request: ")
    assert worker.kept() == []


def test_erase_drops_every_login_for_that_server_and_no_other(
    worker: Worker, server: FakeServer
) -> None:
    server.replies = [docker_login(), docker_login(), docker_login("other.example.com")]
    for asked in (HOST, IMAGE, "other.example.com"):
        worker.password(asked)
    assert len(worker.kept()) == 3
    assert worker.run("erase", stdin="unknown.example.com").returncode == 0
    assert len(worker.kept()) == 3
    done = worker.run("erase", stdin=f"https://{HOST.upper()}/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (left,) = worker.kept()
    assert "other.example.com" in left.read_text()


def test_list_has_the_unexpired_logins_of_this_set_up(worker: Worker, server: FakeServer) -> None:
    assert worker.run("list").stdout == "{}\n"
    server.replies = [docker_login(), docker_login("docker.io")]
    worker.password(HOST)
    worker.password("me/app")
    assert json.loads(worker.run("list").stdout) == {HOST: "AWS", HUB_KEY: "AWS"}
    assert worker.run("list", VALOHAI_PROJECT="another").stdout == "{}\n"
    assert worker.run("list", VALOHAI_REGISTRIES_URL=None).stdout == "{}\n"
    worker.age(expires_at=1)
    assert worker.run("list").stdout == "{}\n"


def test_version_and_wrong_usage(worker: Worker) -> None:
    done = worker.run("version")
    assert done.returncode == 0
    assert done.stdout.startswith("docker-credential-valohai (valohai-registries) ")
    assert worker.run("frobnicate").stdout == "Unknown credential action `frobnicate`\n"
    for arguments in ([], ["get", "x"]):
        done = worker.run(*arguments)
        assert done.returncode == 1 and done.stdout.startswith("Usage: ")


# A question by host alone: podman puts it to every helper before each pull.

ANYTHING_WRONG = [
    *[(Reply(status, {"detail": "Why.", "code": "x", "help": HELP})) for status in (
        400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503, 504)],
    Reply(200, b"<html>"), Reply(200, {"kind": "docker"}), Reply(302, b"", {"Location": "/x"}),
    Reply(404, b"Not found"), Reply(200, docker_login("evil.example.com")),
]  # fmt: skip


@pytest.mark.parametrize("reply", ANYTHING_WRONG)
@pytest.mark.parametrize("job_image", [None, "", "me/app:v1", f"{HOST}:5000/app", "not an image"])
def test_no_failure_of_a_host_alone_stops_other_pulls(
    worker: Worker, server: FakeServer, reply: Reply, job_image: str | None
) -> None:
    server.replies = [reply]
    done = worker.get(HOST, VALOHAI_IMAGE=job_image, VALOHAI_REGISTRIES_TIMEOUT="0.5")
    assert (done.returncode, done.stdout) == (1, NOT_FOUND)
    told = done.stderr.splitlines()
    assert ": " in told[0] and "VALOHAI_IMAGE" in told[-1] and "config IMAGE" in told[-1]


@pytest.mark.parametrize("reply", ANYTHING_WRONG)
def test_of_the_jobs_own_host_each_is_told(
    worker: Worker, server: FakeServer, reply: Reply
) -> None:
    server.replies = [reply]
    for asked, job_image in ((HOST, IMAGE), (IMAGE, None), (f"https://{HOST}/", IMAGE)):
        done = worker.get(asked, VALOHAI_IMAGE=job_image, VALOHAI_REGISTRIES_TIMEOUT="0.5")
        assert done.returncode == 1 and done.stdout != NOT_FOUND
        assert done.stdout.splitlines()[0] == done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"VALOHAI_REGISTRIES_URL": None},
        {"VALOHAI_REGISTRIES_URL": "ftp://x"},
        {"VALOHAI_REGISTRIES_TOKEN": None},
        {"VALOHAI_PROJECT": " "},
        {"VALOHAI_REGISTRIES_TIMEOUT": "soon"},
        {"VALOHAI_REGISTRIES_TOKEN": "two words"},
        {"VALOHAI_REGISTRIES_URL": "http://127.0.0.1:9"},
        {"VALOHAI_REGISTRIES_URL": "http://nowhere.invalid"},
    ],
)
def test_nor_does_a_set_up_that_isnt_whole(worker: Worker, changed: dict[str, str | None]) -> None:
    done = worker.get(HOST, **changed)
    assert (done.returncode, done.stdout) == (1, NOT_FOUND)
    assert ": " in done.stderr and "VALOHAI_IMAGE" in done.stderr
    assert worker.get(IMAGE, **changed).stdout != NOT_FOUND


@pytest.mark.parametrize("asked", ["*.example.com", "https://", "https://a b/", "http://*"])
def test_nor_what_isnt_even_a_host(worker: Worker, server: FakeServer, asked: str) -> None:
    done = worker.get(asked)
    assert (done.returncode, done.stdout) == (1, NOT_FOUND) and "invalid_image" in done.stderr
    assert not server.asked


def test_a_slow_server_holds_them_for_seconds_only(worker: Worker, server: FakeServer) -> None:
    server.replies = [Reply(200, docker_login(), seconds=15)]
    began = time.monotonic()
    assert worker.get(HOST).stdout == NOT_FOUND
    assert time.monotonic() - began < 12


# config: one command before a job


def config(worker: Worker, *arguments: str) -> dict[str, str]:
    done = worker.run("config", *arguments)
    assert done.returncode == 0, done.stderr
    (only,) = json.loads(done.stdout).values()
    return {key: base64.b64decode(value["auth"]).decode() for key, value in only.items()}


def test_config_is_by_repository(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(), docker_login(password="second"), docker_login("docker.io")]
    found = config(worker, IMAGE, f"{HOST}/other@sha256:{'0' * 64}", "ubuntu:22.04")
    assert found == {
        f"{HOST}/my-ml-image": "AWS:first",
        f"{HOST}/other": "AWS:second",
        "docker.io/library/ubuntu": "AWS:first",
    }
    # what is kept serves the next job
    assert config(worker, IMAGE) == {f"{HOST}/my-ml-image": "AWS:first"}
    assert len(server.asked) == 3


def test_config_for_docker_is_by_host(worker: Worker, server: FakeServer) -> None:
    server.replies = [docker_login(), docker_login("docker.io")]
    assert config(worker, "--docker", IMAGE, "me/app") == {HOST: "AWS:first", HUB_KEY: "AWS:first"}
    server.replies = [docker_login(password="second")]
    done = worker.run("config", "--docker", IMAGE, f"{HOST}/other")
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.startswith("one_login_a_host: ") and "DOCKER_CONFIG" in done.stderr


def test_config_leaves_out_what_no_entry_serves(worker: Worker, server: FakeServer) -> None:
    server.replies = [refusal(404, "no_match", "No entry serves it."), docker_login()]
    done = worker.run("config", "quay.io/a/b", IMAGE)
    assert done.returncode == 0 and list(json.loads(done.stdout)["auths"]) == [
        f"{HOST}/my-ml-image"
    ]
    assert done.stderr == "no_match: No entry serves it.\n"


@pytest.mark.parametrize(("status", "code"), [(401, "token_revoked"), (422, "access_denied")])
def test_config_is_whole_or_not_at_all(
    worker: Worker, server: FakeServer, status: int, code: str
) -> None:
    server.replies = [docker_login(), refusal(status, code)]
    done = worker.run("config", IMAGE, f"{HOST}/other")
    assert done.returncode == 1 and "auths" not in done.stdout
    assert done.stdout.startswith(f"{code}: ") and done.stderr.startswith(f"{code}: ")


@pytest.mark.parametrize("arguments", [[], ["--docker"], ["--podman", IMAGE], [IMAGE, "-x"]])
def test_config_wants_images(worker: Worker, arguments: list[str]) -> None:
    done = worker.run("config", *arguments)
    assert done.returncode == 1 and done.stdout.startswith("Usage: ")
    assert worker.run("config", "a b").stdout.startswith("invalid_image: ")


@pytest.mark.parametrize("program", [HELPER, PROVIDER])
def test_both_say_what_they_are(worker: Worker, program: Path) -> None:
    helped = worker.run("--help", program=program)
    assert helped.returncode == 0 and "VALOHAI_REGISTRIES_URL" in helped.stdout
    told = worker.run("--version", program=program)
    assert told.returncode == 0 and "(valohai-registries) " in told.stdout


# Set-up


@pytest.mark.parametrize(
    "name", ["VALOHAI_REGISTRIES_URL", "VALOHAI_REGISTRIES_TOKEN", "VALOHAI_PROJECT"]
)
def test_what_is_missing_is_named(worker: Worker, name: str) -> None:
    for value in (None, " "):
        done = worker.get(**{name: value})
        assert done.stdout == f"not_configured: {name} isn't set.\n"
        assert "worker.json" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "registries.example.com", "https://", "https://me:secret@x", "file:///etc/passwd"],
)
def test_what_is_no_address_of_a_server(worker: Worker, url: str) -> None:
    done = worker.get(VALOHAI_REGISTRIES_URL=url)
    assert done.stdout.startswith("not_configured: VALOHAI_REGISTRIES_URL isn't the address")
    assert "secret" not in done.stdout + done.stderr


def config_file(worker: Worker, content: object) -> Path:
    path = worker.home / ".config" / "valohai-registries" / "worker.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_file_sets_up_and_the_environment_wins(worker: Worker, server: FakeServer) -> None:
    names = ("VALOHAI_REGISTRIES_URL", "VALOHAI_REGISTRIES_TOKEN", "VALOHAI_PROJECT")
    content = {name: worker.env.pop(name) for name in names}
    config_file(worker, content | {"VALOHAI_ENVIRONMENT": "gpu"})
    worker.password()
    worker.password(VALOHAI_PROJECT="another", VALOHAI_ENVIRONMENT="cpu")
    assert [asked.body for asked in server.asked] == [
        {"project": PROJECT, "image": IMAGE, "environment": "gpu"},
        {"project": "another", "image": IMAGE, "environment": "cpu"},
    ]


@pytest.mark.parametrize("content", ["{", "[]", '{"VALOHAI_PROJECT": 1}', '"x"'])
def test_a_file_that_is_none(worker: Worker, content: str) -> None:
    path = config_file(worker, content)
    assert worker.get().stdout == (
        f"not_configured: {path} isn't a JSON object of names and texts.\n"
    )


def test_the_token_in_a_file(worker: Worker, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    worker.env.pop("VALOHAI_REGISTRIES_TOKEN")
    worker.env["VALOHAI_REGISTRIES_TOKEN_FILE"] = str(path)
    # The environment's file goes before a token of the configuration file's.
    config_file(worker, {"VALOHAI_REGISTRIES_TOKEN": "vrw_other_token"})
    worker.password()
    assert server.asked[0].headers["Authorization"] == f"Token {TOKEN}"
    path.unlink()
    done = worker.get()
    assert "can't be read: No such file" in done.stdout
    path.write_text(f"{TOKEN}\r\nX-Evil: 1")
    done = worker.get(IMAGE)
    assert done.stdout == "not_configured: VALOHAI_REGISTRIES_TOKEN isn't a token.\n"


def test_started_by_its_name_as_clients_do(worker: Worker) -> None:
    done = subprocess.run(
        [HELPER, "get"], input=HOST, env=worker.env, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["Secret"] == "first"


def test_a_module_lying_beside_it_is_not_taken(worker: Worker, tmp_path: Path) -> None:
    beside = tmp_path / "bin"
    beside.mkdir()
    copied = beside / HELPER.name
    copied.write_bytes(HELPER.read_bytes())
    copied.chmod(0o755)
    (beside / "json.py").write_text("raise SystemExit('taken')")
    done = worker.run("get", stdin=HOST, program=copied)
    assert json.loads(done.stdout)["Secret"] == "first"

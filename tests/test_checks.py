"""Missing or malformed keys stop every start, a WSGI server's too."""

import os
import subprocess
import sys

import pytest

from orgs import checks
from tests.support import PROJECT_ROOT
from tests.support.certificates import authority

pytestmark = pytest.mark.once

GOOD = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def start(tmp_path, code, **settings):
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.sqlite3",
        "SECRET_KEY": "s" * 50,
        "FERNET_KEYS": GOOD,
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


WSGI = "import valohai_registries.wsgi"
COMMAND = (
    "from django.core.management import execute_from_command_line as run;"
    "run(['manage.py', 'rotate_secrets'])"
)


@pytest.mark.parametrize("code", [WSGI, COMMAND], ids=["wsgi", "command"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"FERNET_KEYS": " "}, "orgs.E001"),
        ({"FERNET_KEYS": f"{GOOD},short"}, "orgs.E002"),
        ({"FERNET_KEYS": "p" * 44}, "orgs.E002"),
        ({"SECRET_KEY": " "}, "SECRET_KEY"),
    ],
)
def test_bad_settings_stop_the_start(tmp_path, code, settings, says):
    ended = start(tmp_path, code, **settings)
    assert ended.returncode != 0
    assert says in ended.stderr
    assert ",short" not in ended.stderr


def test_keys_from_files_lose_their_newline(tmp_path):
    (tmp_path / "keys").write_text(f"{GOOD}\n")
    code = "from django.conf import settings; print(settings.FERNET_KEYS)"
    ended = start(tmp_path, code, FERNET_KEYS="", FERNET_KEYS_FILE=str(tmp_path / "keys"))
    assert GOOD in ended.stdout, ended.stderr


def test_a_server_with_tls_is_deployed_without_a_warning(tmp_path):
    run = "from django.core.management import execute_from_command_line as run;"
    check = run + "run(['manage.py', 'check', '--deploy', '--fail-level', 'WARNING'])"
    https = {
        "BASE_URL": "https://registries.example.com",
        "ALLOWED_HOSTS": "registries.example.com",
    }
    several = {"SECRET_KEY": "".join(map(chr, range(40, 100)))}
    ended = start(tmp_path, check, **https, **several)
    assert ended.returncode == 0, ended.stderr
    plain = start(tmp_path, check, BASE_URL="http://registries.example.com", **several)
    assert plain.returncode != 0 and "orgs.W001" in plain.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read (FileNotFoundError)"),
        ("", "holds no certificate"),
        ("# nothing\n", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "can't be used"),
    ],
)
def test_authorities_that_are_none(settings, tmp_path, content, says):
    settings.OUTBOUND_CA_FILE = str(tmp_path / "ca.pem")
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    (message,) = checks.outbound(None)
    assert message.id == "orgs.E014" and says in message.msg


def test_authorities_that_are_and_that_were(settings, tmp_path):
    settings.OUTBOUND_CA_FILE = str(tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text(f"# Company\n{authority()}")
    assert checks.outbound(None) == []
    (tmp_path / "ca.pem").write_text(authority() + authority(days=(-9, -2)))
    (message,) = checks.outbound(None)
    assert message.id == "orgs.W003" and "ended on" in message.msg


def test_sign_in_hosts_and_a_proxy_that_are_none(settings, monkeypatch):
    settings.OUTBOUND_SIGN_IN_HOSTS = ["r.example.com=g.example.com", "other.example.com"]
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:canary@proxy.example.com")
    messages = checks.outbound(None)
    assert [message.id for message in messages] == ["orgs.E015", "orgs.E016"]
    assert "other.example.com" in messages[0].msg and "canary" not in str(messages)
    settings.OUTBOUND_SIGN_IN_HOSTS = ["r.example.com=g.example.com", "r.example.com=g.example.com"]
    assert "twice" in checks.outbound(None)[0].msg
    settings.OUTBOUND_SIGN_IN_HOSTS = ["r.example.com=g.example.com", "r.example.com=h.example.com"]
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary@proxy.example.com:3128")
    assert checks.outbound(None) == []


def test_they_stop_a_start(tmp_path):
    for setting in (
        {"OUTBOUND_CA_FILE": str(tmp_path / "gone.pem")},
        {"OUTBOUND_SIGN_IN_HOSTS": "gitlab.example.com"},
        {"HTTPS_PROXY": "socks5://proxy.example.com"},
    ):
        ended = start(tmp_path, WSGI, **setting)
        assert ended.returncode != 0 and next(iter(setting)) in ended.stderr

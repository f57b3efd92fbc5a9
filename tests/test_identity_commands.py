"""rotate_signing_key, export_issuer and change_issuer: what they say, and what they leave."""

from __future__ import annotations

import io
import json
import stat
import sys

import pytest
from django.core.management import call_command

from orgs.models import SigningKey
from orgs.services.identity import issuer, keys, signing
from tests.support.identity import (
    AUDIENCE,
    DISCOVERY,
    JWKS,
    URL,
    fetched,
    forget,
    issuing,
    judged,
    kids,
    later,
    trusting_type,
)
from tests.support.internet import reply
from tests.test_commands import run

__all__ = ["issuing", "run", "trusting_type"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("issuing")]
OTHER = "https://other.example.com"
COPY = "https://registry.example.com/issuer"


class Terminal(io.StringIO):
    """Somebody who types this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch):
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


@pytest.fixture
def trusting(make_entry, trusting_type):
    make_entry()  # which rests on a key, and is named nowhere
    return make_entry("a.example/*", registry_type=trusting_type, config={}, secrets={})


def line(entry) -> str:
    return f"  acme: a.example/* ({entry.pk})\n"


# --- rotate_signing_key ---------------------------------------------------------------


def test_rotating_says_when_the_new_one_signs(run, trusting) -> None:
    first = keys.signing().kid
    code, out, err = run("rotate_signing_key")
    coming = SigningKey.objects.get(state="coming")
    assert (code, err) == (0, "")
    when = f"{coming.signs_from:%Y-%m-%d %H:%M} UTC"
    assert out == f"The key {coming.kid} is published from now on, and signs from {when} on.\n"
    assert kids(fetched()) == {first, coming.kid}


def test_rotating_again_is_refused_while_one_waits(run) -> None:
    run("rotate_signing_key")
    code, out, err = run("rotate_signing_key")
    assert (code, out) == (1, "") and err.startswith("key_coming: ")
    later(days=1, seconds=1)
    assert run("rotate_signing_key")[0] == 0


def test_where_clouds_read_a_copy_it_says_what_to_do(run, settings, internet) -> None:
    settings.OIDC_ISSUER = COPY
    internet.serve(lambda request: reply(404))
    code, out, _ = run("rotate_signing_key")
    # The first one comes already: it signs once it's there.
    assert code == 1
    code, out, _ = run("rotate_signing_key", "--compromised")
    assert code == 0 and "Run export_issuer now" in out and COPY in out


@pytest.mark.parametrize("arguments", [(), ("--compromised",)])
def test_a_server_that_is_no_issuer_has_no_keys(arguments, run, settings) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    code, out, err = run("rotate_signing_key", *arguments)
    assert (code, out) == (1, "") and "invalid_issuer" in err and "isn't https" in err
    assert not SigningKey.objects.exists()


def test_compromised_drops_all_and_lists_what_rests_on_them(run, trusting, settings) -> None:
    first, coming = keys.signing().kid, keys.rotate().kid
    settings.OIDC_DROPPED_KEYS = ["z" * 43]
    code, out, err = run("rotate_signing_key", "--compromised")
    assert (code, err) == (0, "")
    (new,) = kids(fetched())
    assert new not in {first, coming} and new in out
    assert line(trusting) in out and "quay.io" not in out and "amazonaws" not in out
    (setting,) = [told for told in out.splitlines() if told.startswith("OIDC_DROPPED_KEYS=")]
    assert setting.removeprefix("OIDC_DROPPED_KEYS=").split(",")[0] == "z" * 43
    assert set(setting.removeprefix("OIDC_DROPPED_KEYS=").split(",")[1:]) == {first, coming}
    # The line as it's told does what it says.
    settings.OIDC_DROPPED_KEYS = setting.removeprefix("OIDC_DROPPED_KEYS=").split(",")
    assert judged(signing.signed(trusting, AUDIENCE), fetched())["iss"] == URL


def test_compromised_where_nothing_was_ever_signed(run) -> None:
    code, out, _ = run("rotate_signing_key", "--compromised")
    assert code == 0 and "No entry rests" in out and "OIDC_DROPPED_KEYS" not in out


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n", "no\n"])
@pytest.mark.parametrize("command", [("rotate_signing_key", "--compromised"), ("change_issuer",)])
def test_on_a_terminal_it_asks_first(command, answer, run, typed, trusting, settings) -> None:
    first = keys.signing().kid
    issuer.named()
    settings.OIDC_ISSUER = OTHER
    typed(answer)
    code, out, err = run(*command)
    assert code == 1 and err == "Nothing was changed.\n"
    assert line(trusting) in out and out.endswith("Go on? [y/N] ")
    assert issuer.stored() == URL and SigningKey.objects.get(state="signing").kid == first


@pytest.mark.parametrize(("answer", "more"), [("y\n", []), ("YES\n", []), ("", ["--yes"])])
def test_on_a_terminal_yes_goes_on(answer, more, run, typed, trusting, settings) -> None:
    issuer.named()
    settings.BASE_URL = OTHER
    typed(answer)
    code, out, _ = run("change_issuer", *more)
    assert code == 0 and ("Go on?" in out) is (not more) and issuer.stored() == OTHER


# --- export_issuer --------------------------------------------------------------------


def test_export_writes_what_is_served(run, client, tmp_path, settings) -> None:
    settings.OIDC_ISSUER = COPY
    code, out, err = run("export_issuer", str(tmp_path / "new" / "folder"))
    assert (code, err) == (0, "")
    for address in (DISCOVERY, JWKS):
        path = tmp_path / "new" / "folder" / address[1:]
        forget()
        assert json.loads(path.read_text()) == client.get(address).json()
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert f"{path}: put it at {COPY}{address}" in out
        assert "PRIVATE" not in path.read_text() and '"d"' not in path.read_text()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
    assert "application/json" in out and "itself" not in out


def test_what_was_exported_is_the_copy_that_lets_a_key_sign(
    run, tmp_path, settings, internet, make_entry
) -> None:
    settings.OIDC_ISSUER = COPY
    served = tmp_path / "issuer"
    internet.serve(lambda request: reply(200, (tmp_path / request.target[1:]).read_bytes()))
    run("export_issuer", str(served))
    token = signing.signed(make_entry(), AUDIENCE)
    claims = judged(token, json.loads((served / JWKS[1:]).read_text()))
    discovery = json.loads((served / DISCOVERY[1:]).read_text())
    assert claims["iss"] == discovery["issuer"] == COPY
    assert discovery["jwks_uri"] == f"{COPY}{JWKS}"


def test_export_again_replaces_both(run, tmp_path) -> None:
    run("export_issuer", str(tmp_path))
    before = (tmp_path / JWKS[1:]).read_text()
    keys.rotate()
    code, out, _ = run("export_issuer", str(tmp_path))
    after = (tmp_path / JWKS[1:]).read_text()
    assert code == 0 and kids(json.loads(before)) < kids(json.loads(after))
    assert "itself" in out  # nothing is read elsewhere


def test_export_that_can_not_be_written(run, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    code, _, err = run("export_issuer", str(tmp_path / "file"))
    assert code == 2 and "can't be written" in err and "Traceback" not in err
    # what was there stays whole
    run("export_issuer", str(tmp_path))
    (tmp_path / JWKS[1:]).unlink()
    (tmp_path / JWKS[1:]).mkdir()
    code, _, err = run("export_issuer", str(tmp_path))
    assert code == 2
    assert not [path for path in tmp_path.rglob(".*.*") if path.name.startswith(".jwks")]


def test_export_of_no_issuer(run, tmp_path, settings) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    code, _, err = run("export_issuer", str(tmp_path))
    assert code == 1 and "invalid_issuer" in err and not list(tmp_path.iterdir())


# --- change_issuer --------------------------------------------------------------------


def test_change_lists_whose_trust_is_to_be_set_up_anew(run, trusting, settings) -> None:
    signing.signed(trusting, AUDIENCE)
    settings.BASE_URL = OTHER
    code, out, err = run("change_issuer")
    assert (code, err) == (0, "")
    assert out.startswith(f"The issuer is {OTHER} now; it was {URL}.\n") and line(trusting) in out
    assert judged(signing.signed(trusting, AUDIENCE), fetched())["iss"] == OTHER


def test_change_to_what_it_is_already(run, trusting) -> None:
    signing.signed(trusting, AUDIENCE)
    code, out, err = run("change_issuer")
    assert (code, out) == (1, "") and "already" in err


def test_change_to_what_no_cloud_takes(run, trusting, settings) -> None:
    signing.signed(trusting, AUDIENCE)
    settings.BASE_URL = "https://other.example.com:8443"
    code, out, err = run("change_issuer")
    assert (code, out) == (1, "") and "has a port in it" in err and issuer.stored() == URL


def test_change_before_anything_was_signed(run) -> None:
    code, out, _ = run("change_issuer")
    assert code == 0 and "never used" in out and "No entry rests" in out
    assert issuer.stored() == URL


@pytest.mark.parametrize(
    "arguments",
    [
        ("rotate_signing_key", "x"),
        ("rotate_signing_key", "--dropped"),
        ("export_issuer",),
        ("export_issuer", "a", "b"),
        ("change_issuer", OTHER),
    ],
)
def test_wrong_usage(arguments, run) -> None:
    assert run(*arguments)[0] == 2
    assert not SigningKey.objects.exists()


def test_none_runs_where_the_settings_are_wrong(settings) -> None:
    """The checks come first, as for the other commands."""
    settings.OIDC_ISSUER = "keys.example.com"
    for command in ("rotate_signing_key", "change_issuer"):
        with pytest.raises(Exception, match=r"orgs\.E017"):
            call_command(command, skip_checks=False)

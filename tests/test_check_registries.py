"""`check_registries`: every enabled entry, one after another, for people and for programs."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from orgs.models import RegistryEntry
from orgs.services.upstream import calls
from tests.conftest import CANARY, HOST

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setattr(calls, "PAUSES", {})

    def run(**options):
        code = 0
        try:
            call_command("check_registries", **options)
        except SystemExit as ended:
            code = ended.code
        told = capsys.readouterr()
        assert CANARY not in told.out + told.err
        return code, told.out, told.err

    return run


@pytest.fixture
def good(ecr, aws, make_entry):
    key_id, secret = aws.create_user("valohai", aws.policy())
    return make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})


def test_all_hold(run, good, make_entry):
    make_entry(f"{HOST}/off/*", enabled=False)
    make_entry(f"{HOST}/role/*", registry_type="aws-ecr-role")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert f"✓ acme  {HOST}/*" in out and f"◇ acme  {HOST}/role/*" in out
    assert out.endswith("2 checked, 0 failed.\n") and "/off/*" not in out
    good.refresh_from_db()
    assert good.status == "verified"


def test_one_fails(run, good, make_entry, umbrella):
    wrong = make_entry(f"{HOST}/wrong/*", organization=umbrella)
    code, out, _ = run()
    assert code == 1 and f"✕ umbrella  {HOST}/wrong/*\n    invalid_key: AWS doesn't know" in out
    wrong.refresh_from_db()
    assert wrong.status == "failing"
    assert run(organization="acme")[0] == 0


def test_json(run, good, make_entry):
    wrong = make_entry(f"{HOST}/wrong/*")
    code, out, _ = run(json=True)
    told = json.loads(out)
    assert code == 1 and (told["checked"], told["failed"]) == (2, 1)
    found = {entry["id"]: entry for entry in told["entries"]}
    assert found[str(good.pk)]["result"] == "ok"
    assert [step["result"] for step in found[str(good.pk)]["steps"]] == ["ok", "ok", "not_checked"]
    assert found[str(wrong.pk)]["code"] == "invalid_key" and found[str(wrong.pk)]["detail"]
    assert found[str(wrong.pk)]["image_pattern"] == f"{HOST}/wrong/*"


def test_nothing_to_check_and_no_such_organization(run, acme):
    assert run()[:2] == (0, "0 checked, 0 failed.\n")
    code, _, err = run(organization="nobody")
    assert code == 1 and "There is no organization nobody." in err
    assert not RegistryEntry.objects.exists()


def test_a_registry_that_only_workers_reach(run, aws, internet, make_entry):
    """AWS gave the login, and the host isn't known here: told, and no failure."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    entry = make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    internet.name(HOST, [])
    code, out, _ = run()
    assert code == 0 and "1 checked, 0 failed." in out
    assert f"◑ acme  {HOST}/*\n    registry_unreachable: The DNS knows no address" in out
    entry.refresh_from_db()
    assert entry.status == "unreachable"
    aws.fault("error500")
    assert run()[0] == 1  # whether the key is good, nobody said

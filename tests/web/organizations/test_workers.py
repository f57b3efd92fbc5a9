"""Worker tokens on their pages: shown once, to those who issued them; set-up; first login."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from orgs.models import AuditEvent, Project, WorkerToken
from orgs.registries.private import private
from orgs.services.audit.events import Actor, record
from orgs.services.tenancy import tokens
from tests.conftest import HOST
from tests.web.conftest import Page

WORKERS = "/organizations/acme/workers/"
ISSUE, SETUP = f"{WORKERS}issue/", f"{WORKERS}setup/"
DOCKER = {
    "registry_type": "docker",
    "config": {"username": "m"},
    "secrets": {"password": "p"},
}
TEXT = re.compile(r"vrw_[0-9a-f]{16}_[0-9a-f]{64}")


@pytest.fixture
def issue(acme, actor):
    def issue(name: str = "gpu workers", organization=acme, **rest) -> WorkerToken:
        return tokens.token_issue_worker(organization=organization, name=name, actor=actor, **rest)[
            0
        ]

    return issue


def ask_for_form(look, who) -> dict[str, str]:
    page = look(who, ISSUE)
    return {"name": "", "environment": "", "expires_in": "", "once": page.fields["once"]["value"]}


def test_issue(client, look, send, alice, gpu) -> None:
    form = ask_for_form(look, alice)
    assert look(alice, ISSUE).texts["option"] == [
        "All-environment entries only",
        "GPU",
        "May act as any environment",
    ]
    page = send(alice, ISSUE, form | {"name": " gpu workers ", "environment": "gpu"})
    assert page.status == 200 and page.heading == "Token issued"
    assert "Copy this token now. It won't be shown again." in page.text
    (text,) = set(TEXT.findall(page.html))
    token = WorkerToken.objects.get()
    assert tokens.authenticate(text) == token
    assert (token.name, token.environment, token.any_environment) == ("gpu workers", gpu, False)
    assert token.expires_at is None and token.created_by == alice
    assert page.links["Set up by hand"] == f"{SETUP}?worker={token.pk}"
    event = AuditEvent.objects.get(action="token.issued")
    assert event.actor == "alice@example.com" and event.source_address == "127.0.0.1"
    # Nowhere else, and kept by no cache.
    for address in (WORKERS, SETUP, f"{WORKERS}{token.pk}/revoke/"):
        assert text not in look(alice, address).html
    assert text not in str(dict(client.session)) + str(list(AuditEvent.objects.values()))
    assert "no-store" in client.get(ISSUE)["Cache-Control"]


def test_the_answer_is_kept_by_no_cache(client, look, alice) -> None:
    form = ask_for_form(look, alice) | {"name": "w"}
    assert "no-store" in client.post(ISSUE, form)["Cache-Control"]


@pytest.mark.parametrize(("chosen", "any_environment"), [("", False), ("*", True)])
def test_reach(chosen, any_environment, look, send, alice) -> None:
    send(alice, ISSUE, ask_for_form(look, alice) | {"name": "w", "environment": chosen})
    token = WorkerToken.objects.get()
    assert (token.environment, token.any_environment) == (None, any_environment)


def test_a_reload_issues_no_second_token(look, send, alice) -> None:
    form = ask_for_form(look, alice) | {"name": "w", "expires_in": "30"}
    assert TEXT.search(send(alice, ISSUE, form).html)
    again = send(alice, ISSUE, form)
    assert "Already issued as w. If it's lost, revoke it and issue another." in again.text
    assert not TEXT.search(again.html)
    token = WorkerToken.objects.get()
    assert again.links["Revoke it"] == f"{WORKERS}{token.pk}/revoke/"
    days = (token.expires_at - timezone.now()).total_seconds() / 86400
    assert 29.9 < days <= 30
    # Something else typed, or the form asked for anew, is another request.
    assert TEXT.search(send(alice, ISSUE, form | {"name": "other"}).html)
    assert TEXT.search(send(alice, ISSUE, ask_for_form(look, alice) | {"name": "w"}).html)
    assert TEXT.search(send(alice, ISSUE, form | {"once": ""}).html)
    assert WorkerToken.objects.count() == 4


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"name": " "}, "name", "Name is empty."),
        ({"name": "x" * 101}, "name", "at most 100 characters"),
        ({"name": "a\x07b"}, "name", "needs a name"),
        ({"environment": "nowhere"}, "environment", "isn't in the list"),
        ({"environment": "labs"}, "environment", "isn't in the list"),
        ({"expires_in": "x"}, "expires_in", "Days are a whole number."),
        ({"expires_in": "0"}, "expires_in", "a day at least"),
        ({"expires_in": "3651"}, "expires_in", "3650 days at most"),
        ({"expires_in": "-1"}, "expires_in", "a day at least"),
        ({"expires_in": "1.5"}, "expires_in", "whole number"),
    ],
)
def test_bad_input(wrong, field, says, look, send, alice, umbrella) -> None:
    umbrella.environments.create(name="Labs", slug="labs")
    page = send(alice, ISSUE, ask_for_form(look, alice) | {"name": "w"} | wrong)
    assert page.title.startswith("Error: Issue a worker token") and page.wrong == {field}
    assert says in page.error(field)
    assert ": " in page.brief(field)
    assert not WorkerToken.objects.exists()


def test_list(look, alice, bob, staff, issue, gpu) -> None:
    empty = look(alice, WORKERS)
    assert "No worker tokens yet." in empty.text
    bound = issue("bound", environment=gpu, expires_in=timedelta(days=3))
    issue("roaming", any_environment=True)
    gone = issue("gone")
    tokens.token_revoke(token=gone, actor=Actor("x"))
    old = issue("old", expires_in=timedelta(days=1))
    WorkerToken.objects.filter(pk=old.pk).update(
        expires_at=timezone.now() - timedelta(days=2), last_used_at=timezone.now()
    )
    page = look(alice, WORKERS)
    rows = page.texts["tr"][1:]
    assert rows == [
        f"old All-environment entries only {old.begins_with} just now expired 2 days ago"
        " Revoke old",
        f"roaming Any {WorkerToken.objects.get(name='roaming').begins_with} Never Never"
        " Revoke roaming",
        f"bound GPU {bound.begins_with} Never in 3 days Revoke bound",
    ]
    for reader in (bob, staff):
        page = look(reader, WORKERS)
        assert "bound" in page.text and "vrw_" not in page.html
        assert "Revoke" not in page.text and "Issue a worker token" not in page.text


def test_list_has_pages(look, alice, gpu, issue) -> None:
    for n in range(51):
        issue(f"w{n}", environment=gpu)
    assert "Page 1 of 2" in look(alice, WORKERS).text
    assert len(look(alice, WORKERS, page="2").texts["tr"]) == 2


def test_the_script_is_for_what_the_token_reaches(look, send, alice, gpu, acme, make_entry) -> None:
    form = ask_for_form(look, alice) | {"name": "w"}
    assert "no project yet" in send(alice, ISSUE, form).text
    first = Project.objects.create(name="first", organization=acme)
    form |= {"once": ask_for_form(look, alice)["once"]}
    nothing = send(alice, ISSUE, form)
    assert "names a registry yet" in nothing.text and "<pre" not in nothing.html
    make_entry("all.example.com/a", **DOCKER)
    make_entry("gpu.example.com/b", environments=[gpu], **DOCKER)
    make_entry("off.example.com/c", enabled=False, **DOCKER)
    make_entry("*.dkr.ecr.us-east-1.amazonaws.com/*")
    second = Project.objects.create(name="second's", organization=acme)
    for environment, image in (("", "all.example.com/a"), ("gpu", "gpu.example.com/b")):
        once = ask_for_form(look, alice)["once"]
        chosen = {"environment": environment, "project": str(second.pk), "once": once}
        page = send(alice, ISSUE, form | chosen)
        told = snippets(page)
        assert len(page.texts["pre"]) == 4 and f"image=${{VALOHAI_IMAGE:-{image}" in told
        assert ("gpu.example.com" in told) == (environment == "gpu")
        assert "off.example.com" not in told and "dkr.ecr" not in told
        assert f"project={second.pk}" in told and str(first.pk) not in told
        assert "environment= #" not in told
    once = ask_for_form(look, alice)["once"]
    page = send(alice, ISSUE, form | {"environment": "*", "once": once})
    assert "environment= # this worker's" in snippets(page)
    assert f"project={first.pk}" in snippets(page)
    for wrong in (str(acme.pk), "$(id)"):
        page = send(alice, ISSUE, form | {"project": wrong})
        assert "This isn't in the list" in page.text and TEXT.findall(page.html) == []


def test_revoke(client, look, alice, bob, charlie, umbrella, issue, actor) -> None:
    token = issue()
    address = f"{WORKERS}{token.pk}/revoke/"
    page = look(alice, address)
    assert "It was never used" in page.text and token.begins_with in page.text
    tokens.mark_used(token, "10.0.0.7")
    assert "from 10.0.0.7; workers that have it get no more logins" in look(alice, address).text
    theirs = issue("theirs", organization=umbrella)
    for who, where in (
        (bob, address),
        (charlie, address),
        (alice, f"{WORKERS}{theirs.pk}/revoke/"),
    ):
        client.force_login(who)
        assert client.post(where).status_code in {403, 404}
    assert not WorkerToken.objects.exclude(revoked_at=None).exists()
    client.force_login(alice)
    after = Page(client.post(address, follow=True))
    assert "gpu workers is revoked." in after.text
    token.refresh_from_db()
    assert token.revoked_at
    assert "gpu workers was revoked" in look(alice, address).text
    assert client.post(address).status_code == 302
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1
    assert look(alice, f"{WORKERS}{10**30}/revoke/").status == 404


# --- set-up -------------------------------------------------------------------


def snippets(page: Page) -> str:
    return "\n".join(page.texts["pre"])


def test_setup_is_filled_in(look, alice, bob, project, make_entry, issue) -> None:
    make_entry(f"{HOST}/my-repo/*")
    make_entry("me/*", registry_type="docker", config={"username": "m"}, secrets={"password": "p"})
    make_entry(f"{HOST.replace('us-east-1', 'eu-west-1')}/*", enabled=False)
    issue()
    for who in (alice, bob):
        page = look(who, SETUP)
        told = snippets(page)
        assert settings.BASE_URL + "/worker/docker-credential-valohai" in told
        assert settings.BASE_URL + "/worker/valohai-credential-provider" in told
        assert str(project.pk) in told and "eu-west-1" not in told
        assert f'"{HOST}": "valohai", "https://index.docker.io/v1/": "valohai"' in told
        assert f'- "{HOST}" - "docker.io"' in told
        assert "docker pull me/my-ml-image:v1.0" in told and "vrw_" not in page.html
    heads = [h for h in page.texts["h2"] if h != "First login"]
    assert heads == ["Docker", "Podman and skopeo", "containerd (nerdctl)", "Kubernetes"]
    assert page.texts["h3"].count("Try it, with an image of yours") == 4


def test_setup_before_anything_is_there(look, alice, bob, acme) -> None:
    page = look(alice, SETUP)
    assert "Acme has no entry with a host to name yet" in page.text
    assert "PROJECT-ID" in snippets(page) and f'"{HOST}": "valohai"' in snippets(page)
    assert page.links["Issue a worker token"] == ISSUE
    assert "Waiting" not in page.text
    assert "Org admins issue it." in look(bob, SETUP).text


def test_setup_of_another_project_and_token(look, alice, acme, umbrella, project, issue) -> None:
    other = Project.objects.create(name="second", organization=acme)
    theirs = Project.objects.create(name="theirs", organization=umbrella)
    first, last = issue("first", any_environment=True), issue("last")
    page = look(alice, SETUP, worker=str(first.pk), project=str(other.pk))
    assert str(other.pk) in snippets(page) and str(project.pk) not in snippets(page)
    assert "with the token first" in page.text and '"VALOHAI_ENVIRONMENT"' in page.text
    for junk in ({"worker": "x", "project": "y"}, {"worker": "1" * 40, "project": str(theirs.pk)}):
        page = look(alice, SETUP, **junk)
        assert f"with the token {last.name}" in page.text
        assert str(theirs.pk) not in page.html


def test_wildcard_hosts_are_told_of(look, alice, make_entry) -> None:
    make_entry("*.dkr.ecr.us-east-1.amazonaws.com/*")
    page = look(alice, SETUP)
    assert "can't be named in these files" in page.text or "no entry with a host" in page.text
    assert '"*.dkr' not in page.html


def as_worker(token: WorkerToken) -> Actor:
    return Actor(f"worker {token.name}", source_address="10.0.0.7", token=token.begins_with)


def test_first_login(look, alice, acme, project, issue) -> None:
    token, other = issue(), issue()  # of one name
    where = {"worker": str(token.pk), "first_login": "1"}
    assert look(alice, SETUP, **where).html.count("data-waiting") == 1
    refusal = {
        "reason": f"AWS doesn't know the key{private(' AKIAIOSFODNN7EXAMPLE')}, or it's inactive."
    }
    record(
        actor=as_worker(token),
        action="login.refused",
        organization=acme,
        project=project,
        subject=f"{HOST}/a:v1",
        code="invalid_key",
        properties=refusal,
    )
    fragment = look(alice, SETUP, **where)
    told = fragment.texts["p"][1]
    assert "The last try was refused, just now: AWS doesn't know the key, or" in told
    assert "AKIA" not in fragment.html and "<html" not in fragment.html
    assert fragment.links["Explain"].startswith("/organizations/acme/registries/check/?image=")
    assert "worker=" not in fragment.links["Explain"]
    for image in ("one", "two"):
        record(
            actor=as_worker(token),
            action="login.issued",
            organization=acme,
            project=project,
            subject=f"{HOST}/{image}",
            code="ok",
        )
    tokens.mark_used(token, "10.0.0.8")
    done = look(alice, SETUP, worker=str(token.pk))
    assert "First login" in done.text and "from 10.0.0.7, for" in done.text
    assert f"{HOST}/one" in done.text and f"{HOST}/two" not in done.text
    assert "Waiting" not in done.text and "refused" not in done.text
    tokens.mark_used(other, "10.0.0.8")
    assert "Waiting" in look(alice, SETUP, worker=str(other.pk)).text


# --- downloads ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["docker-credential-valohai", "valohai-credential-provider"])
def test_download(name, client, db, tmp_path) -> None:
    answer = client.get(f"/worker/{name}")
    assert answer["Content-Type"].startswith("text/plain")
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.content == (settings.BASE_DIR / "worker" / name).read_bytes()
    again = client.get(f"/worker/{name}", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/worker/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert client.post(f"/worker/{name}").status_code == 405
    # What was downloaded runs.
    program = tmp_path / name
    program.write_bytes(answer.content)
    program.chmod(0o755)
    asked = ["version"] if name.startswith("docker") else []
    ran = subprocess.run(
        [str(program), *asked], input=b"", capture_output=True, env={"PATH": os.environ["PATH"]}
    )
    assert (b"0.1.0" in ran.stdout) if asked else (ran.returncode == 1)
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "path", ["/worker/", "/worker/x", "/worker/../manage.py", "/worker/%2e%2e/manage.py"]
)
def test_nothing_else_is_served(path, client, db) -> None:
    assert client.get(path).status_code == 404

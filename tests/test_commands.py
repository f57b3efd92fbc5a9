"""The commands as CONTRACT has them: output, streams and exit codes."""

import base64
import json
import re
import socket
import subprocess

import pytest
from django.core.management import CommandError, call_command

from orgs.models import AuditEvent, Membership, Organization, Project, User
from tests.conftest import HOST

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = f"{HOST}/my-ml-image:v1.0"


@pytest.fixture
def run(capsys):
    """Run a command; give (exit code, standard output, standard error)."""

    def run(*arguments):
        code = 0
        try:
            call_command(*arguments)
        except SystemExit as stopped:
            code = stopped.code
        except CommandError:
            code = 2
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def password(aws, make_entry):
    """An entry that works, and the set its password will be in."""
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    return lambda: next(iter(aws.tokens))


def test_create_organization_and_first_admin(run, client, db):
    code, out, err = run("create_organization", "Acme Corp", "--admin", "New@Example.com")
    assert (code, err) == (0, "")
    made = Organization.objects.get(slug="acme-corp")
    assert Membership.objects.get(organization=made).user.email == "new@example.com"
    link = re.search(r"http://\S+", out)[0].removeprefix("http://127.0.0.1:8000")
    page = client.get(link, follow=True)
    form = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}
    client.post(page.redirect_chain[-1][0], form)
    assert client.login(username="new@example.com", password="correct horse battery")
    client.logout()
    assert "work any more" in client.get(link, follow=True).content.decode()


def test_create_organization_refuses(run, acme):
    code, _, err = run("create_organization", "Acme", "--admin", "a@example.com")
    assert (code, "--slug" in err) == (1, True)
    assert not User.objects.exists()
    assert run("create_organization", "X", "--admin", "nobody")[0] == 2
    assert run("create_organization", "X")[0] == 2
    assert run("create_organization", "§§", "--admin", "a@example.com")[0] == 1


def test_first_start_makes_what_is_needed_once(run, monkeypatch, db):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        code, out, err = run("first_start")
        assert (code, out, "is taken" in err) == (1, "", True)
        assert not User.objects.exists()
    monkeypatch.setenv("ADMIN_EMAIL", "Me@Example.com")
    monkeypatch.setenv("ADMIN_PASSWORD", "correct horse battery")
    code, out, _ = run("first_start")
    assert code == 0
    project = Project.objects.get(name="first-project", organization__slug="acme")
    told = ("me@example.com", "correct horse battery", str(project.pk), "manage.py demo_data")
    assert all(x in out for x in told)
    assert Membership.objects.get(user__email="me@example.com").role == "admin"
    assert run("first_start") == (0, "", "")


def test_create_project(run, acme, bob):
    code, out, _ = run("create_project", "one", "--organization", "acme")
    assert code == 0
    assert Project.objects.get(pk=out.strip()).organization == acme
    code, out, _ = run("create_project", "mine", "--user", "Bob@example.com")
    assert Project.objects.get(pk=out.strip()).user == bob
    assert run("create_project", "x", "--organization", "nothing")[0] == 1
    assert run("create_project", "x")[0] == 2
    assert run("create_project", "x", "--organization", "acme", "--user", "b@e.co")[0] == 2


def test_login_format_gives_the_password_by_standard_input(run, project, password, tmp_path):
    code, out, _ = run("docker_login", IMAGE, "--project", str(project.pk))
    assert code == 0
    command = out.splitlines()[0]
    assert password() not in command
    # As pasted: a docker that shows what it was given.
    fake = tmp_path / "docker"
    fake.write_text('#!/bin/sh\necho "$@"\ncat\n')
    fake.chmod(0o755)
    ran = subprocess.run(
        ["sh", "-c", out], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert ran.stdout == f"login --username AWS --password-stdin {HOST}\n{password()}\n"


def test_every_other_format(run, project, password):
    def ask(name):
        code, out, _ = run("docker_login", IMAGE, "--project", str(project.pk), "--format", name)
        assert code == 0
        return json.loads(out)

    answer = ask("json")
    assert answer["kind"] == "docker"
    assert (answer["server"], answer["username"]) == (HOST, "AWS")
    assert answer["password"] == password()
    assert answer["entry"]["type"] == "aws-ecr"
    assert answer["entry"]["image_pattern"] == f"{HOST}/*"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["expires_at"])
    auth = base64.b64encode(f"AWS:{password()}".encode()).decode()
    assert ask("docker-config") == {"auths": {HOST: {"auth": auth}}}
    assert ask("helper") == {"ServerURL": HOST, "Username": "AWS", "Secret": password()}
    secret = ask("k8s-secret")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    config = base64.b64decode(secret["data"][".dockerconfigjson"])
    by_path = {"auths": {f"{HOST}/my-ml-image": {"auth": auth}}}
    assert json.loads(config) == ask("containers-auth") == by_path


def test_instance_roles_answer_json_only(run, project, make_entry):
    make_entry(registry_type="aws-ecr-role")
    code, out, _ = run("docker_login", IMAGE, "--project", str(project.pk), "--format", "json")
    assert code == 0
    assert json.loads(out)["role_name"] == "ValohaiWorkerRole"
    for name in ("login", "docker-config", "containers-auth", "helper", "k8s-secret"):
        code, out, err = run("docker_login", IMAGE, "--project", str(project.pk), "--format", name)
        assert (code, out) == (1, "")
        assert "docker-credential-valohai" in err


@pytest.mark.parametrize(
    ("image", "code", "says"),
    [
        (f"https://{IMAGE}", 2, f"Write {IMAGE}"),
        ("UPPER/case", 2, "invalid_image"),
        ("ghcr.io/me/x", 1, "no_match"),
    ],
)
def test_docker_login_refuses(run, project, image, code, says):
    for command in ("docker_login", "explain_image"):
        ended, _, err = run(command, image, "--project", str(project.pk))
        assert ended == code
        assert says in err


def test_unknown_projects_environments_and_personal_projects(run, project, bob):
    assert run("docker_login", IMAGE, "--project", "nothing")[0] == 1
    code, _, err = run("docker_login", IMAGE, "--project", str(project.pk), "--environment", "x")
    assert (code, "environment_not_found" in err) == (1, True)
    mine = Project.objects.create(name="mine", user=bob)
    for command in ("docker_login", "explain_image"):
        code, _, err = run(command, IMAGE, "--project", str(mine.pk))
        assert (code, "personal_project" in err) == (1, True)


def test_explain_image(run, project, make_entry, gpu):
    make_entry()
    make_entry(f"{HOST}/my-ml-image", environments=[gpu])
    code, out, _ = run("explain_image", IMAGE, "--project", str(project.pk))
    assert code == 0
    assert out.startswith(f"{IMAGE} is served by {HOST}/* (AWS ECR (IAM credentials)")
    assert f"{HOST}/my-ml-image [gpu]: other environment" in out
    code, out, _ = run(
        "explain_image", IMAGE, "--project", str(project.pk), "--environment", "gpu", "--json"
    )
    found = json.loads(out)
    assert found["served_by"]["image_pattern"] == f"{HOST}/my-ml-image"
    assert [c["result"] for c in found["candidates"]] == ["serves it", "less specific"]
    assert not AuditEvent.objects.filter(action__startswith="login").exists()


def test_check_valohai_yaml(run, project, bob, make_entry, gpu, tmp_path):
    make_entry(environments=[gpu])
    file = tmp_path / "valohai.yaml"
    file.write_text(
        f"- step: {{name: a, image: {IMAGE}}}\n- step: {{name: b, image: python:3.12}}\n"
    )
    ask = ("check_valohai_yaml", str(file), "--project", str(project.pk))
    code, out, err = run(*ask)
    assert (code, err.strip()) == (1, "2 images: 1 public, 1 without an entry.")
    assert f"line 1, step a: {IMAGE}\n  No enabled entry serves it." in out
    code, out, err = run(*ask, "--environment", "gpu")
    assert (code, err) == (0, "")
    assert f"Served by {HOST}/* (AWS ECR (IAM credentials))." in out
    code, out, _ = run(*ask, "--environment", "gpu", "--json")
    assert code == 0 and [i["result"] for i in json.loads(out)["images"]] == ["served", "public"]
    code, out, _ = run(*ask, "--json")
    assert code == 1 and json.loads(out)["ok"] is False
    file.write_text("- step: {name: a, image: ''}\n")
    assert run(*ask)[0] == 1
    file.write_text("- step: [\n")
    code, out, err = run(*ask)
    assert (code, out) == (1, "") and err.startswith("invalid_yaml: Line 2: This isn't YAML")
    code, _, err = run("check_valohai_yaml", str(tmp_path), "--project", str(project.pk))
    assert code == 2 and "can't be read" in err
    assert run("check_valohai_yaml", str(file))[0] == 2
    mine = Project.objects.create(name="mine", user=bob)
    code, _, err = run("check_valohai_yaml", str(file), "--project", str(mine.pk))
    assert (code, "personal_project" in err) == (1, True)
    code, _, err = run(*ask, "--environment", "nowhere")
    assert (code, "environment_not_found" in err) == (1, True)


def test_the_examples_valohai_yaml_is_checked(run, project, make_entry):
    make_entry()
    code, out, _ = run("check_valohai_yaml", "examples/valohai.yaml", "--project", str(project.pk))
    assert code == 0 and "1 image: 1 served." in out

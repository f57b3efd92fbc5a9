"""A real client pulls a real image from a real registry with the login we give."""

import json

import pytest
import yaml
from django.core.management import call_command

from tests.support import PROJECT_ROOT
from tests.support.registry import Registry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def registry(aws):
    with Registry() as registry:
        registry.push("my-ml-image", "v1.0")
        yield registry


@pytest.fixture
def image():
    """The one that examples/valohai.yaml names."""
    steps = yaml.safe_load((PROJECT_ROOT / "examples" / "valohai.yaml").read_text())
    return steps[0]["step"]["image"]


def pull(registry, image, tmp_path, config):
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth" / "config.json").write_text(json.dumps(config))
    return registry.skopeo(
        ["copy", f"docker://{image}", f"dir:{tmp_path}/pulled"],
        env={"DOCKER_CONFIG": str(tmp_path / "auth")},
    )


def test_the_pull_succeeds_with_the_login(
    aws, registry, image, project, make_entry, tmp_path, capsys
):
    key_id, secret = aws.create_user("valohai", aws.policy())
    make_entry(config={"access_key_id": key_id}, secrets={"secret_access_key": secret})
    aws.on_token(lambda password: registry.allow("AWS", password))
    call_command("docker_login", image, project=str(project.pk), format="docker-config")
    pulled = pull(registry, image, tmp_path, json.loads(capsys.readouterr().out))
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "pulled" / "manifest.json").exists()
    assert any(seen.authenticated and "/blobs/" in seen.path for seen in registry.requests)


def test_the_pull_fails_without(registry, image, tmp_path):
    pulled = pull(registry, image, tmp_path, {"auths": {}})
    assert pulled.returncode != 0
    assert "authentication required" in pulled.stderr or "unauthorized" in pulled.stderr

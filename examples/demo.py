"""`make demo`: the product's main job with no AWS account, in a few seconds.

A fake AWS on loopback, one organization, one entry, and the Docker login for the
image in examples/valohai.yaml. Nothing of it is left afterwards.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import yaml
from cryptography.fernet import Fernet

EXAMPLE = Path(__file__).with_name("valohai.yaml")


def main() -> None:
    from tests.support.fake_aws import FakeAws

    with tempfile.TemporaryDirectory() as directory, FakeAws() as aws:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "valohai_registries.settings",
            "DATABASE_URL": f"sqlite:///{directory}/demo.sqlite3",
            "SECRET_KEY": Fernet.generate_key().decode(),
            "FERNET_KEYS": Fernet.generate_key().decode(),
            "AWS_ENDPOINT_URL": aws.url,
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        walk(aws)


def walk(aws) -> None:
    from django.core.management import call_command

    from orgs.services.audit.events import COMMAND_LINE
    from orgs.services.entries import door
    from orgs.services.entries.validating import EntrySpec
    from orgs.services.tenancy import organizations, projects

    image = yaml.safe_load(EXAMPLE.read_text())[0]["step"]["image"]
    host = image.partition("/")[0]

    say("1. An IAM user with exactly the guide's policy, in a fake AWS")
    key_id, secret = aws.create_user("valohai-ecr", aws.policy())
    print(f"   Access Key ID {key_id}")

    say("2. An organization with a project")
    admin, _ = organizations.person("admin@example.com")
    acme = organizations.organization_create(name="Acme", admin=admin, actor=COMMAND_LINE)
    project = projects.project_create(name="first-project", organization=acme, actor=COMMAND_LINE)
    print(f"   {acme.name} / {project.name} {project.pk}")

    say("3. A registry entry; its secret is sealed")
    entry = door.entry_create(
        organization=acme,
        actor=COMMAND_LINE,
        spec=EntrySpec(
            registry_type="aws-ecr",
            patterns=[f"{host}/*"],
            config={"access_key_id": key_id},
            secrets={"secret_access_key": secret},
        ),
    )
    print(f"   {entry}, AWS ECR (IAM credentials), {entry.config['region']}")

    say(f"4. manage.py docker_login {image} --project {project.pk}")
    call_command("docker_login", image, project=str(project.pk))

    say(
        "Nothing of it is left. `make run` serves the pages; to look around in them, "
        "`.venv/bin/python manage.py demo_data` makes an organization."
    )


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()

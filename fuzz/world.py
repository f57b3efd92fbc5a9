"""What the fuzzed requests are sent to: one organization with something of everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from uuid import UUID


class World:
    """One organization with something of everything, and who asks: its admin, staff, no one.

    `build` may be called again: what a request has deleted is made anew.
    """

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.ids: dict[str, Any] = {}
        self.worker_token = self.person_token = ""

    def build(self) -> World:
        from django.test import Client

        from orgs.models import Environment, Membership, Organization, Project, User
        from orgs.services.audit.events import Actor
        from orgs.services.tenancy import people

        acme = Organization.objects.get_or_create(slug="acme", defaults={"name": "Acme"})[0]
        alice = _person(User, "alice@example.com", "Alice")
        stella = _person(User, "stella@example.com", "Stella", is_staff=True, is_superuser=True)
        Membership.objects.update_or_create(
            organization=acme, user=alice, defaults={"role": Membership.Role.ADMIN}
        )
        gpu = Environment.objects.get_or_create(
            organization=acme, slug="gpu", defaults={"name": "GPU"}
        )[0]
        project = Project.objects.get_or_create(organization=acme, name="first-project")[0]
        self._entries(acme, gpu)
        self._tokens(acme, alice)
        membership = Membership.objects.get(organization=acme, user=alice)
        uid, key = (
            people.person_link(person=stella, actor=Actor("fuzz")).rstrip("/").split("/")[-2:]
        )
        self.ids |= {
            **{"slug": "acme", "page": "workers", "organization_id": acme.pk, "uidb64": uid},
            **{
                "token": key,
                "person_id": alice.pk,
                "environment_id": gpu.pk,
                "environment": gpu.pk,
            },
            **{"organization": acme.pk, "user": alice.pk, "membership": membership.pk},
            **{"project": project.pk, "app_label": "orgs", "url": "nowhere/", "content_type_id": 1},
        }
        for name, person in (("alice", alice), ("staff", stella), ("anonymous", None)):
            if name not in self.clients or (person and person.pk != self.ids.get(f"is_{name}")):
                self.clients[name] = Client()
                if person is not None:
                    self.clients[name].force_login(person)
                    self.ids[f"is_{name}"] = person.pk
        return self

    def _entries(self, acme: Any, gpu: Any) -> None:
        from orgs.models import AuditEvent
        from orgs.registries.catalogue import BY_SLUG
        from orgs.services.audit.events import Actor
        from orgs.services.entries import door
        from orgs.services.entries.validating import EntrySpec
        from tests.support.declared import valid
        from tests.support.fake_google import key_file

        host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        wanted: dict[str, tuple[str, dict[str, str], dict[str, str], list[Any]]] = {
            f"{host}/team/*": (
                "aws-ecr",
                {"access_key_id": "AKIAIOSFODNN7EXAMPLE"},
                {"secret_access_key": "wJalrXUtnFEMI012345678bPxRfiCYEXAMPLEKEY"},
                [],
            ),
            "gcr.io/acme/*": ("gcp-cr", {}, {"service_account_json": key_file()}, []),
            "us-docker.pkg.dev/acme/*": ("gcp-cr-oidc", valid(BY_SLUG["gcp-cr-oidc"])[0], {}, []),
            "public.ecr.aws/acme/*": (
                "aws-ecr-public",
                {"access_key_id": "AKIAIOSFODNN7EXAMPLE"},
                {"secret_access_key": "wJalrXUtnFEMI012345678bPxRfiCYEXAMPLEKEY"},
                [],
            ),
            "acmeml.azurecr.io/*": (
                "azure-acr",
                {"tenant_id": str(UUID(int=1)), "client_id": str(UUID(int=2))},
                {"client_secret": "abc8Q~0123456789abcdefghijklmnopqrstuvwx"},
                [],
            ),
            "othername.azurecr.io/*": (
                "azure-acr-oidc",
                {"tenant_id": str(UUID(int=1)), "client_id": str(UUID(int=2))},
                {},
                [],
            ),
            f"{host}/role/*": ("aws-ecr-role", {"role_name": "ValohaiWorkerRole"}, {}, []),
            "registry.example.com/*": ("docker", {"username": "robot"}, {"password": "pw"}, [gpu]),
        }
        standing = {str(entry): entry for entry in acme.entries.all()}
        for pattern, (kind, config, secrets, environments) in wanted.items():
            if pattern not in standing:
                spec = EntrySpec(kind, [pattern], config, secrets, environments)
                standing[pattern] = door.entry_create(
                    organization=acme, actor=Actor("fuzz"), spec=spec
                )
        chosen = standing[f"{host}/team/*"].pk
        event = AuditEvent.objects.values_list("pk", flat=True).first()
        self.ids |= {"entry_id": chosen, "registryentry": chosen, "auditevent": event}
        self.ids["role_entry"] = standing[f"{host}/role/*"].pk

    def _tokens(self, acme: Any, alice: Any) -> None:
        from orgs.models import ApiToken, WorkerToken
        from orgs.services.audit.events import Actor
        from orgs.services.bulk import drafts
        from orgs.services.tenancy import tokens

        actor = Actor("fuzz")
        worker = WorkerToken.objects.filter(organization=acme, name="gpu", revoked_at=None).first()
        if worker is None or not self.worker_token:
            worker, self.worker_token = tokens.token_issue_worker(
                organization=acme, name="gpu", actor=actor, any_environment=True
            )
        person = ApiToken.objects.filter(user=alice, name="script", revoked_at=None).first()
        if person is None or not self.person_token:
            person, self.person_token = tokens.token_issue_api(
                user=alice, name="script", actor=actor
            )
        draft = drafts.draft_store(
            organization=acme,
            user=alice,
            file_name="a.csv",
            format="csv",
            content=b"image_pattern,type\nregistry.example.com/x,docker\n",
            update=False,
        )
        self.ids |= {"token_id": worker.pk, "api_token_id": person.pk, "draft_id": draft.pk}


def _person(user: Any, email: str, name: str, **powers: bool) -> Any:
    found = user.objects.filter(email=email).first() or user.objects.create_user(email, name=name)
    standing = {"name": name, "is_active": True, **powers}
    user.objects.filter(pk=found.pk).update(**standing)
    found.refresh_from_db()
    return found


@contextmanager
def nobody_answers() -> Iterator[None]:
    """No registry and no cloud is asked: all are unreachable, at once."""
    from orgs.registries.aws_ecr import AwsEcr
    from orgs.registries.problems import Failed

    def away(*args: Any, **kwargs: Any) -> Any:
        raise Failed("registry_unreachable", "It doesn't answer.", "Ask again.", 5)

    def no_name(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no network in here")

    with (
        mock.patch.object(AwsEcr, "login", away),
        mock.patch.object(AwsEcr, "lister", away),
        mock.patch("socket.getaddrinfo", no_name),
    ):
        yield

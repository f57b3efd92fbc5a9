"""What a project of Google's needs so that it trusts one entry here: as gcloud commands and as
Terraform, filled in.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .google_pools import ACCOUNT, PROVIDER, PoolProvider, parse_provider
from .google_roles import PROJECT, ROLE, Grant, account, granted, reader
from .patterns import MatchPattern
from .terraform import Expression, needs, nested, resource
from .types import Config, Part, SetUp, Who

NUMBER, POOL, ISSUER = "<PROJECT_NUMBER>", "valohai", "<ISSUER>"
USER = "roles/iam.workloadIdentityUser"
_MAPPING = ("google.subject", "assertion.sub")
_APIS = tuple(f"{n}.googleapis.com" for n in ("iam", "sts", "iamcredentials", "artifactregistry"))
_OWN = re.compile(r"(?P<name>[a-z0-9-]{1,30})@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")


def provider_or_example(config: Config) -> PoolProvider:
    """The provider of an entry, or what stands for one that isn't named yet."""
    return parse_provider(config.get(PROVIDER, "")) or PoolProvider(NUMBER, POOL, POOL)


def by_federation(config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
    """For an entry that comes by a workload identity pool, and acts as a service account where
    it has one."""
    email, issuer = config.get(ACCOUNT, ""), who.issuer or ISSUER
    trust = _Trust(provider_or_example(config), email, issuer, who.subject, patterns)
    return SetUp(
        provider="Google",
        facts=(
            ("Issuer", issuer),
            ("Audience", trust.provider.audience),
            ("Subject", who.subject),
            ("Attribute mapping", "=".join(_MAPPING)),
            ("Attribute condition", trust.condition),
            ("Provider", trust.provider.name),
            ("Service account", email) if email else ("Principal", trust.principal),
        ),
        parts=(
            Part("All of it", "gcloud", "\n".join(trust.commands())),
            Part("All of it", "Terraform", "\n\n".join(trust.resources())),
        ),
        notes=tuple(trust.notes()),
        account=f"Google Cloud, with project {trust.provider.project}",
        ready="Cloud Shell, in the Google Cloud console, has gcloud ready.",
        takes="A new pool, provider or grant takes a minute or two until all of Google knows it.",
    )


@dataclass(frozen=True)
class _Trust:
    provider: PoolProvider
    email: str
    issuer: str
    subject: str
    patterns: Sequence[MatchPattern]

    @cached_property
    def principal(self) -> str:
        return self.provider.principal(self.subject)

    @cached_property
    def own(self) -> str:
        """What things are called in Terraform: by the entry, so that several stand in one
        module."""
        return f"valohai_{self.subject.rpartition(':')[2][:8]}"

    @cached_property
    def condition(self) -> str:
        """What lets in this entry alone, in Google's expression language (CEL)."""
        return f'assertion.sub == "{self.subject}"'

    def commands(self) -> Iterator[str]:
        # Else than here gcloud takes a project's ID alone, and not its number.
        number = shlex.quote(self.provider.project)
        yield f"PROJECT=$(gcloud projects describe {number} --format='value(projectId)')"
        yield _command("services enable", *_APIS)
        pools = "iam workload-identity-pools"
        yield _command(f"{pools} create {self.provider.pool}", "--location=global")
        yield _command(
            f"{pools} providers create-oidc {self.provider.provider}",
            "--location=global",
            f"--workload-identity-pool={self.provider.pool}",
            f"--issuer-uri={self.issuer}",
            f"--attribute-mapping={'='.join(_MAPPING)}",
            f"--attribute-condition={self.condition}",
        )
        if own := _OWN.fullmatch(self.email):
            makes = f"iam service-accounts create {own['name']}"
            yield _command(makes, project=shlex.quote(own["project"]))
        if self.email:
            yield _command(
                f"iam service-accounts add-iam-policy-binding {shlex.quote(self.email)}",
                f"--role={USER}",
                f"--member={self.principal}",
                "--condition=None",
                project="",
            )
        yield reader(self.patterns, self.email, self.principal).command

    def resources(self) -> Iterator[str]:
        apis = f"google_project_service.{self.own}"
        pool, project = "google_iam_workload_identity_pool", {"project": self.provider.project}
        yield _services(self.provider.project, self.own)
        pool_id = {"workload_identity_pool_id": self.provider.pool}
        yield resource(pool, self.own, project | pool_id, more=(needs(apis),))
        yield resource(
            f"{pool}_provider",
            self.own,
            {
                **project,
                "workload_identity_pool_id": Expression(
                    f"{pool}.{self.own}.workload_identity_pool_id"
                ),
                "workload_identity_pool_provider_id": self.provider.provider,
                "attribute_condition": self.condition,
            },
            more=(
                nested("attribute_mapping =", {json.dumps(_MAPPING[0]): _MAPPING[1]}),
                nested("oidc", {"issuer_uri": self.issuer}),
            ),
        )
        if self.email:
            yield from self._acting()
        member = account(self.email) if self.email else self.principal
        after = f"{pool}_provider.{self.own}"
        if _OWN.fullmatch(self.email):
            after = f"google_service_account.{self.own}"
        for number, grant in enumerate(granted(self.patterns), start=1):
            yield _grant(grant, f"{self.own}_{number}", member, after)

    def _acting(self) -> Iterator[str]:
        """The service account, and that the entry may act as it."""
        whose = f"projects/-/serviceAccounts/{self.email}"
        if own := _OWN.fullmatch(self.email):
            values = {"project": own["project"], "account_id": own["name"]}
            yield resource("google_service_account", self.own, values)
            whose = Expression(f"google_service_account.{self.own}.name")
        values = {"service_account_id": whose, "role": USER, "member": self.principal}
        pool = f"google_iam_workload_identity_pool_provider.{self.own}"
        yield resource("google_service_account_iam_member", self.own, values, more=(needs(pool),))

    def notes(self) -> Iterator[str]:
        yield (
            "The condition lets in this entry alone, so each entry needs a provider of its own: "
            "where it is there already, its condition is for another entry. Keep the pool for this "
            "server, since any provider in it could vouch for this subject."
        )
        yield from reader(self.patterns, self.email, self.principal).notes
        yield (
            f"Where Google can't reach {self.issuer}, give the provider its keys with "
            "--jwk-json-path (a file that staff write by export_issuer), and anew before a new "
            "key signs."
        )
        yield (
            "“ALREADY_EXISTS” is fine for the pool and the service account; of the provider it "
            "means that another one is needed, in the entry, too. A deleted one keeps its ID for "
            "30 days. A service account that was just made may not be known yet: run the last "
            "commands again after a minute."
        )


def _command(what: str, *words: str, project: str = '"$PROJECT"') -> str:
    whose = [f"--project={project}"] if project else []
    return " \\\n  ".join([f"gcloud {what}", *whose, *map(shlex.quote, words)])


# --- Terraform ---------------------------------------------------------------------------------


def _services(project: str, own: str) -> str:
    values = {
        "for_each": Expression(f"toset({json.dumps(_APIS)})"),
        "project": project,
        "service": Expression("each.value"),
        "disable_on_destroy": Expression("false"),
    }
    return resource("google_project_service", own, values)


def _grant(grant: Grant, name: str, member: str, after: str) -> str:
    values = {"project": grant.project or PROJECT, "role": ROLE, "member": member}
    more = (needs(after),)
    if not grant.repository:
        return resource("google_project_iam_member", name, values, more)
    where = {"location": grant.location, "repository": grant.repository}
    kind = "google_artifact_registry_repository_iam_member"
    return resource(kind, name, values | where, more)

"""What all types for Azure Container Registry have in common: whose registries they serve, and
a registry's own login, for an identity of a tenant of Microsoft Entra.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from . import azure_entra, azure_refusals, provider_calls
from .azure_entra import Application
from .azure_hosts import AzureHost, corrected_azure_host, parse_azure_host, registry_of_endpoint
from .azure_roles import puller
from .lookalikes import lookalike, not_its_own
from .outbound import Unreachable
from .patterns import MatchPattern, not_a_registry
from .problems import Failed, Problem
from .types import (
    AccessPolicy,
    Ask,
    Blanks,
    Config,
    DockerLogin,
    Field,
    Other,
    Provider,
    RegistryType,
    Shape,
    Travel,
)

# learn.microsoft.com, «Authenticate with an Azure container registry», az acr login --expose-token.
USERNAME = "00000000-0000-0000-0000-000000000000"

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TENANT, CLIENT = "tenant_id", "client_id"
_OVERVIEW = "the application's Overview in Microsoft Entra"
_KIND = "a registry of Azure's"
_NAMES = {
    TENANT: ("AZURE_TENANT_ID", "ARM_TENANT_ID", "tenant_id", "tenantId", "tenant"),
    CLIENT: ("AZURE_CLIENT_ID", "ARM_CLIENT_ID", "client_id", "clientId", "appId"),
}


def _guid(text: str) -> str:
    """As Azure writes one, out of the ways that others do."""
    return text.strip("{}").lower().removeprefix("urn:uuid:").removeprefix("api://")


def _id(
    name: str, label: str, help: str, named: str, where: str, *others: Other, hidden: bool
) -> Field:
    return Field(
        name=name,
        label=label,
        help=help,
        example="11111111-2222-3333-4444-555555555555"
        if hidden
        else "66666666-7777-8888-9999-000000000000",
        hidden_from_members=hidden,
        missing=f"Copy {named} from {where}.",
        shape=Shape(
            GUID,
            "guid_shape",
            f"This isn't {named}: it has 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12.",
            f"Copy it from {where}.",
            others=others,
        ),
        max_length=100,
        blanks=Blanks.DROPPED,
        echo=GUID,
        pasted_as=_NAMES[name],
        reads=_guid,
    )


_A_DOMAIN = Other(
    r"(?i:[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5})",
    "This is a domain of the tenant, not its ID.",
    f"Copy the Directory (tenant) ID from {_OVERVIEW}.",
)
_ANY_TENANT = Other(
    r"(?i:common|organizations|consumers)",
    "This stands for any tenant, and an application is in one.",
    f"Copy the Directory (tenant) ID from {_OVERVIEW}.",
)


def tenant_field(help: str) -> Field:
    named = "the Directory (tenant) ID"
    others = (_A_DOMAIN, _ANY_TENANT)
    return _id(TENANT, "Tenant ID", help, named, _OVERVIEW, *others, hidden=False)


def client_field(help: str, where: str = _OVERVIEW) -> Field:
    """`where` is what its value is copied from."""
    named = "the Application (client) ID"
    return _id(CLIENT, "Client ID", help, named, where, hidden=True)


class AzureType(RegistryType):
    """A registry's login of three hours, for what proves to be an identity of a tenant."""

    group = "Azure"
    travel = Travel.MINTED
    login_life = "3 hours"
    provider = Provider.AZURE
    private_addresses = True  # Private Link
    example_pattern = "yourregistry.azurecr.io/*"
    denied_fixes = {
        "access_denied": "Run the commands below, which let that application pull, wait a minute, "
        "and verify again.",
        "image_denied": "Run the commands below, which give the role that counts in this "
        "registry, wait a minute, and verify again.",
    }
    holder: ClassVar[str] = "application"
    """What the client ID is of, in words."""
    refusals: ClassVar[azure_refusals.Refusals] = {}
    """What the sign-in says of this type's proof."""
    refused: ClassVar[str] = "invalid_key"
    """The code of what it says besides."""

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        problems = list(self._host_problems(patterns))
        if config[TENANT] and config[TENANT] == config[CLIENT]:
            what = "The same stands under Tenant ID, and an application has an ID of its own."
            fix = f"Copy the Application (client) ID from {_OVERVIEW}."
            problems.append(Problem("guid_shape", what, fix, CLIENT))
        return config, secrets, problems

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        """The tenant, at the sign-in of its cloud: what proves the identity goes nowhere else."""
        hosts = (parse_azure_host(pattern.host) for pattern in patterns)
        tenant = config.get(TENANT, "")
        return frozenset(f"{host.sign_in_host}/{tenant}" for host in hosts if host)

    def login_scope(self, config: Config, host: str, repository: str = "") -> str:
        return host  # a registry's login is its own

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        return puller(patterns, config.get(CLIENT, ""))

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        return None if parse_azure_host(host) else not_its_own(host, _KIND)

    def proof(self, host: AzureHost, secrets: Config, ask: Ask) -> Mapping[str, str]:
        """What the sign-in takes for the identity (`azure_entra`); raises `Failed`."""
        raise NotImplementedError

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        host = parse_azure_host(ask.host)
        if host is None:
            raise not_its_own(ask.host, _KIND)
        if missing := self.unusable(config, secrets):
            raise Failed("entry_unusable", missing.what, "Edit the entry, and enter it again.")
        application = Application(config[TENANT], config[CLIENT], self.proof(host, secrets, ask))
        began = time.monotonic()
        try:
            token, ends = azure_entra.refresh_token(
                application, host, ask.host, stand_in=ask.endpoint_url, deadline=ask.deadline
            )
        except azure_entra.Fault as fault:
            raise azure_refusals.told(
                fault,
                application,
                ask.host,
                host,
                self.refusals,
                holder=self.holder,
                otherwise=self.refused,
            ) from None
        except azure_entra.NotAzure as error:
            where = azure_refusals.place(error.at, ask.host)
            raise provider_calls.unreachable(
                f"{where} answered what isn't its language.", where
            ) from None
        except Unreachable as error:
            what = provider_calls.unanswered(error, "Azure", began)
            raise provider_calls.unreachable(what, f"{host.sign_in_host} and {ask.host}") from None
        return DockerLogin(USERNAME, token, ends)

    def _host_problems(self, patterns: Sequence[MatchPattern]) -> Iterator[Problem]:
        suffixes = set()
        for pattern in patterns:
            host = parse_azure_host(pattern.host) if pattern.port is None else None
            if host is None:
                site = not_a_registry(pattern)
                yield self.fitting(site) if site else _not_azure(pattern)
                continue
            suffixes.add(host.suffix)
        if len(suffixes) > 1:
            yield Problem(
                "partition_mismatch",
                f"The patterns are of {len(suffixes)} of Azure's clouds "
                f"({', '.join(sorted(suffixes))}), and an application is in one.",
                "Make an entry for each.",
                "patterns",
            )


def _not_azure(pattern: MatchPattern) -> Problem:
    host, path = pattern.authority, str(pattern).removeprefix(pattern.authority)
    if pattern.host_is_wildcard and parse_azure_host(pattern.host.replace("*", "registry", 1)):
        return Problem(
            "wildcard_host",
            f"{host} leaves open which registry it is, and each gives logins of its own.",
            "Write each registry's host in full, as one pattern each.",
            "patterns",
        )
    registry, kind = registry_of_endpoint(pattern.host.replace(".privatelink.", ".", 1))
    if registry:
        what = {
            "data": f"{host} is where a registry's layers come from; no image is named after it.",
            "geo": f"{host} is one region's endpoint, and logins are obtained for the registry.",
        }
        fix = f"Write {registry}{path}, and name images by that host."
        return Problem(
            "lookalike_host", what[kind], fix, "patterns", suggestion=f"{registry}{path}"
        )
    corrected = corrected_azure_host(host)
    return lookalike(
        pattern,
        kind=_KIND,
        login="login of Azure's",
        resembles=corrected is not None,
        corrected=corrected,
        example="yourregistry.azurecr.io",
    )

"""What a customer's tenant needs so that an identity of it trusts one entry here: as JSON, as
Azure CLI commands and as Terraform, filled in.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .azure_hosts import AUDIENCES, AzureHost, parse_azure_host
from .azure_roles import ABAC_ROLE, CLIENT, REGISTRY, ROLE, puller
from .azure_type import CLIENT as CLIENT_ID
from .azure_type import TENANT as TENANT_ID
from .patterns import MatchPattern
from .terraform import Expression, data, resource
from .types import Config, Part, SetUp, Who

ISSUER, TENANT = "<ISSUER>", "<TENANT_ID>"
# An application that has neither secret nor certificate; the second lets roles be given to it.
MAKE = (
    "az ad app create --display-name valohai-pull --query appId --output tsv",
    f"az ad sp create --id {shlex.quote(CLIENT)}",
)
# What the providers of Terraform call the clouds that aren't the usual one.
_ENVIRONMENTS = {"azurecr.cn": "china", "azurecr.us": "usgovernment"}

_NOTES = (
    "Azure takes wrong values silently and says so only at a login: compare issuer, subject and "
    "audience letter by letter. Capitals count, and the issuer has no slash at its end.",
    "An identity has 20 federated credentials at most: one for each entry, so several registries "
    "of a tenant are better patterns of one entry.",
)
_MINUTE = (
    "A new federated credential takes a minute or more until all of Azure knows it; trying before "
    "that may make it take longer."
)


@dataclass(frozen=True)
class _Credential:
    """What is added to an identity for one entry."""

    name: str
    issuer: str
    subject: str
    audience: str

    @property
    def document(self) -> dict[str, str | list[str]]:
        own = {"name": self.name, "issuer": self.issuer, "subject": self.subject}
        return {**own, "audiences": [self.audience]}


def trust(config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
    """For an application or a user-assigned managed identity, which get one role each."""
    hosts = _hosts(patterns)
    client, tenant = config.get(CLIENT_ID, ""), config.get(TENANT_ID, "")
    audience = audience_of(patterns)
    name = f"valohai-{who.subject.rpartition(':')[2]}"
    credential = _Credential(name, who.issuer or ISSUER, who.subject, audience)
    roles = puller(patterns, client)
    first = _cloud(hosts)
    return SetUp(
        provider="Azure",
        facts=(
            ("Issuer", credential.issuer),
            ("Subject identifier", credential.subject),
            ("Audience", credential.audience),
            ("Tenant ID", tenant or TENANT),
            ("Client ID", client or CLIENT),
        ),
        parts=(
            Part("Federated credential", "JSON", json.dumps(credential.document, indent=2)),
            Part(
                "For an application",
                "Azure CLI",
                "\n".join([*first, *_application(client, credential), roles.command]),
            ),
            Part(
                "For a user-assigned managed identity",
                "Azure CLI",
                "\n".join([*first, *_managed(client, credential), roles.command]),
            ),
            Part(
                "For an application",
                "Terraform",
                _terraform(hosts, client or CLIENT, credential, f"valohai_{name[8:16]}"),
            ),
        ),
        notes=(*_NOTES, roles.notes[0], *_elsewhere(hosts)),
        account=f"tenant {tenant or TENANT}",
        ready="" if first else "Cloud Shell, in the Azure portal, has the Azure CLI ready.",
        takes=_MINUTE,
    )


def audience_of(patterns: Sequence[MatchPattern]) -> str:
    """The audience that the registries' cloud asks for."""
    hosts = _hosts(patterns)
    return hosts[0].audience if hosts else AUDIENCES["azurecr.io"]


def _hosts(patterns: Sequence[MatchPattern]) -> list[AzureHost]:
    """The registries, each once; those of an entry are of one cloud."""
    parsed = (parse_azure_host(pattern.host) for pattern in patterns if pattern.port is None)
    return list({host.name: host for host in parsed if host}.values())


def _cloud(hosts: Sequence[AzureHost]) -> list[str]:
    cloud = hosts[0].cloud if hosts else "AzureCloud"
    return [] if cloud == "AzureCloud" else [f"az cloud set --name {cloud}"]


def _elsewhere(hosts: Sequence[AzureHost]) -> list[str]:
    environment = _ENVIRONMENTS.get(hosts[0].suffix) if hosts else None
    if environment is None:
        return []
    return [
        f'In Terraform both providers, azuread and azurerm, need environment = "{environment}".'
    ]


def _application(client: str, credential: _Credential) -> list[str]:
    """The commands that add it to an application, which they make where none is known."""
    document = shlex.quote(json.dumps(credential.document, indent=2))
    add = ["az", "ad", "app", "federated-credential", "create", "--id", client or CLIENT]
    return [*([] if client else MAKE), f"{shlex.join(add)} --parameters {document}"]


def _managed(client: str, credential: _Credential) -> list[str]:
    """The commands that add it to a managed identity: of one an entry knows the client ID,
    and the Azure CLI wants its name and group."""
    options = {
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": credential.audience,
    }
    add = [
        'az identity federated-credential create --identity-name "$name" --resource-group "$group"',
        *(f"  --{name} {shlex.quote(value)}" for name, value in options.items()),
    ]
    return [
        f"client={shlex.quote(client or CLIENT)}",
        """name=$(az identity list --query "[?clientId=='$client'].name" --output tsv)""",
        """group=$(az identity list --query "[?clientId=='$client'].resourceGroup" --output tsv)""",
        " \\\n".join(add),
    ]


def _terraform(hosts: Sequence[AzureHost], client: str, credential: _Credential, own: str) -> str:
    """Named by the entry, so that several stand in one module."""
    registries = [_granted(host.name, own) for host in hosts] or [_granted(REGISTRY, own)]
    return "\n\n".join(
        [
            data("azuread_application", own, {"client_id": client}),
            data("azuread_service_principal", own, {"client_id": client}),
            resource(
                "azuread_application_federated_identity_credential",
                own,
                {
                    "application_id": Expression(f"data.azuread_application.{own}.id"),
                    "display_name": credential.name,
                    "issuer": credential.issuer,
                    "subject": credential.subject,
                    "audiences": [credential.audience],
                },
            ),
            *registries,
        ]
    )


def _granted(registry: str, entry: str) -> str:
    """The role on a registry, which is looked up by its name alone. Its mode, which says what
    role counts, Terraform can't look up so."""
    own = f"{entry}_{registry.strip('<>').lower()}"
    found = {"type": "Microsoft.ContainerRegistry/registries", "name": registry}
    role = f"{json.dumps(ROLE)} # {json.dumps(ABAC_ROLE)} in one with ABAC"
    given = {
        "scope": Expression(f"data.azurerm_resources.{own}.resources[0].id"),
        "role_definition_name": Expression(role),
        "principal_id": Expression(f"data.azuread_service_principal.{entry}.object_id"),
    }
    looked_up = data("azurerm_resources", own, found)
    return f"{looked_up}\n\n{resource('azurerm_role_assignment', own, given)}"

"""What lets an application pull from a registry, as `az` commands, filled in from match
patterns.

A registry that has role assignments by repository («ABAC») doesn't honour `AcrPull`: the
command looks which kind it is, and gives the role that counts there.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .azure_hosts import parse_azure_host
from .patterns import MatchPattern
from .types import AccessPolicy

ROLE = "AcrPull"
ABAC_ROLE = "Container Registry Repository Reader"
CLIENT = "<CLIENT_ID>"
REGISTRY = "<REGISTRY>"

_COMMAND = """\
registry={registry}
id=$(az acr show --name "$registry" --query id --output tsv)
mode=$(az acr show --name "$registry" --query roleAssignmentMode --output tsv)
role={role}
if [ "$mode" = AbacRepositoryPermissions ]; then role={abac}; fi
if [ -z "$id" ]; then echo "No registry $registry in this subscription: az account set" >&2
else az role assignment create --assignee {client} --role "$role" --scope "$id"; fi"""


def puller(patterns: Sequence[MatchPattern], client: str = "") -> AccessPolicy:
    """For the application whose secret an entry holds; `client` is its id, "" where that
    isn't known yet."""
    hosts = {
        host.name: host
        for pattern in patterns
        if pattern.port is None and (host := parse_azure_host(pattern.host))
    }
    notes = [
        f"{ROLE} counts for nothing in a registry with role assignments by repository (ABAC), "
        f"which wants {ABAC_ROLE}: the command looks which it is."
    ]
    clouds = {host.cloud for host in hosts.values()} - {"AzureCloud"}
    notes += [f"First: az cloud set --name {cloud}" for cloud in sorted(clouds)]
    if not hosts or not client:
        notes.append("What stands in <> is filled in from the match pattern and the client ID.")
    commands = [
        _COMMAND.format(
            registry=shlex.quote(name),
            role=ROLE,
            abac=shlex.quote(ABAC_ROLE),
            client=shlex.quote(client or CLIENT),
        )
        for name in hosts or (REGISTRY,)
    ]
    return AccessPolicy(
        name=ROLE,
        verb="Grant",
        attach_to=f"the application {client}" if client else "the application",
        document="",
        command="\n\n".join(commands),
        program="Azure CLI",
        again="Run it again after adding a registry. What it granted before stays.",
        wider=tuple(
            f"Wider than the pattern {pattern.text}: it grants all repositories of the registry."
            for pattern in patterns
            if pattern.segments != ("*",) and parse_azure_host(pattern.host)
        ),
        notes=tuple(notes),
    )

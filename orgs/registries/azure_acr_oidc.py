"""Azure Container Registry without a stored key: by an application or a managed identity that
trusts what this server says of one entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .azure_entra import by_assertion
from .azure_hosts import AzureHost
from .azure_refusals import Refusals
from .azure_trust import MAKE, audience_of, trust
from .azure_type import CLIENT, AzureType, client_field, tenant_field
from .patterns import MatchPattern
from .types import AccessPolicy, Ask, Config, SetUp, Who

_COMPARE = "as the entry's page has it, letter by letter, wait a minute, and try again."
_SET_UP = "Set it up as the entry's page shows it, wait a minute, and try again."
_WAIT = "Wait: it is asked again by itself; if it lasts, ask staff whether "

_NO_TENANT = (
    "identity_refused",
    "There is no tenant{tenant} in this cloud of Azure's.",
    "Compare the tenant ID with the Overview in Microsoft Entra, and the registry's host with its "
    "cloud.",
)
_SUBJECT = (
    "identity_refused",
    "The {holder}{client} trusts this server, but for none that is called as this entry: no "
    "federated credential has its subject.",
    f"Give its federated credential the subject {_COMPARE}",
)
_UNREAD = (
    "issuer_unreachable",
    "Microsoft Entra couldn't read this server's keys.",
    f"{_WAIT}this server's issuer can be reached from outside.",
)
_UNREADABLE = (
    "identity_refused",
    "Microsoft Entra can't make out what this server says of the entry.",
    "Ask staff whether the issuer is set as clouds read it.",
)
_CLOCK = (
    "clock_skew",
    "For Microsoft Entra what this server says of itself isn't valid now, so their clocks differ.",
    "Ask staff to set the server's clock (NTP).",
)
_FEDERATION_OFF = (
    "identity_refused",
    "A policy of the tenant{tenant} lets no identity from elsewhere in.",
    "Ask who administers the tenant to allow this server's issuer for federated credentials.",
)
# Microsoft, «Microsoft Entra authentication and authorization error codes» and «Troubleshoot an
# Azure Resource Manager workload identity service connection»; the numbers of 70021 in full,
# those of an issuer that isn't reached and of its keys as public reports have them
# (Azure/azure-workload-identity 340, 605, 642, 1200, 1232; Azure/login 283, 517).
REFUSALS: Refusals = {
    "70025": (
        "identity_refused",
        "The {holder}{client} has no federated credential, so it trusts nobody yet.",
        _SET_UP,
    ),
    "70021": (
        "identity_refused",
        "No federated credential of the {holder}{client} has this entry's issuer, subject and "
        "audience; Microsoft Entra doesn't say which of them is wrong.",
        f"Compare all three: they are {_COMPARE}",
    ),
    "700211": (
        "identity_refused",
        "The {holder}{client} doesn't trust this server: no federated credential has its issuer.",
        f"Give a federated credential the issuer {_COMPARE}",
    ),
    "700212": (
        "identity_refused",
        "The {holder}{client} has a federated credential for this server, but not with the "
        "audience {audience}, which this cloud of Azure's asks for.",
        "Give it the audience {audience}, wait a minute, and try again.",
    ),
    "700213": _SUBJECT,
    "7002131": _SUBJECT,  # of one with an expression
    "7002137": _SUBJECT,
    "7002138": _SUBJECT,  # but for capitals
    "700223": _FEDERATION_OFF,
    "700238": _FEDERATION_OFF,
    "700016": (
        "identity_refused",
        "The tenant{tenant} has no application or managed identity{client}.",
        "Compare both with its Overview: the client ID is not the object ID. A new one takes a "
        "minute to be known.",
    ),
    "7000229": (
        "identity_refused",
        "The application{client} has no service principal in the tenant{tenant}, so it can't sign "
        "in there.",
        "Make one: az ad sp create --id and the client ID; then try again in a minute.",
    ),
    "90002": _NO_TENANT,
    "900023": _NO_TENANT,
    "7000112": (
        "identity_refused",
        "The {holder}{client} is disabled in its tenant.",
        "Enable it under Enterprise applications, Properties, or use another.",
    ),
    "50166": _UNREAD,
    "501661": _UNREAD,
    "90061": _UNREAD,
    "7000272": (
        "issuer_unreachable",
        "Microsoft Entra doesn't have the key yet that this server signs with: it keeps what it "
        "read of an issuer for a while.",
        f"{_WAIT}the keys that clouds read are this server's.",
    ),
    "700027": (
        "identity_refused",
        "By the keys that Microsoft Entra read, it isn't this server that signed.",
        "Ask staff whether the keys that clouds read are this server's.",
    ),
    "700024": _CLOCK,
    "500133": _CLOCK,
    "50027": _UNREADABLE,
    "5002723": _UNREADABLE,
    "5002727": _UNREADABLE,
}


_MADE = (
    "The first two commands make an application without any secret, where you have none yet; the "
    "first prints its client ID."
)


class AzureOidc(AzureType):
    """An identity of a tenant that trusts what this server signs of one entry."""

    slug = "azure-acr-oidc"
    label = "Azure Container Registry (OIDC federation, no key)"
    short_label = "Azure, no key"
    summary = (
        "An application or managed identity of yours that trusts this entry: no secret to keep, "
        "hand out or replace, for workers anywhere."
    )
    trusts_issuer = True
    holder = "identity"
    refusals = REFUSALS
    refused = "identity_refused"
    fields = (
        tenant_field("The directory that the application or managed identity is in."),
        client_field(
            "Of an application or a user-assigned managed identity; it's not the object ID.",
            "its Overview",
        ),
    )

    def audience(self, config: Config, patterns: Sequence[MatchPattern]) -> str:
        return audience_of(patterns)

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return trust(config, patterns, who)

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        policy = super().policy(config, patterns)
        if config.get(CLIENT):
            return policy
        command = "\n".join([*MAKE, policy.command])
        return replace(policy, command=command, notes=(*policy.notes, _MADE))

    def proof(self, host: AzureHost, secrets: Config, ask: Ask) -> Mapping[str, str]:
        assert ask.identity is not None, "only an entry has an identity"
        return by_assertion(ask.identity(host.audience))

"""Which hosts are Azure's registries, and where those of their cloud sign in: the one door
that Azure logins go through.

A registry is `<name>.azurecr.io`, `.azurecr.cn` in China, `.azurecr.us` for the US
government; newer ones have a hash behind the name («domain name label scope»). A host counts
only in full and in ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# By a registry's suffix: where its cloud signs in (azure-identity, AzureAuthorityHosts), what
# the Azure CLI calls it, and for whom an identity from elsewhere vouches there
# (learn.microsoft.com, «Important considerations for federated identity credentials»).
SIGN_IN_HOSTS: Mapping[str, str] = {
    "azurecr.io": "login.microsoftonline.com",
    "azurecr.cn": "login.chinacloudapi.cn",
    "azurecr.us": "login.microsoftonline.us",
}
CLOUDS: Mapping[str, str] = {
    "azurecr.io": "AzureCloud",
    "azurecr.cn": "AzureChinaCloud",
    "azurecr.us": "AzureUSGovernment",
}
AUDIENCES: Mapping[str, str] = {
    "azurecr.io": "api://AzureADTokenExchange",
    "azurecr.cn": "api://AzureADTokenExchangeChina",
    "azurecr.us": "api://AzureADTokenExchangeUSGov",
}

# learn.microsoft.com, «Naming rules for Azure resources»: 5–50 alphanumerics.
_NAME = r"[a-z0-9]{5,50}"
_SUFFIX = "|".join(map(re.escape, SIGN_IN_HOSTS))
_HOST = re.compile(rf"(?P<name>{_NAME})(?P<hash>-[a-z0-9]{{4,32}})?\.(?P<suffix>{_SUFFIX})")
# Other endpoints of a registry (learn.microsoft.com, «Container registry endpoint reference»):
# layers come from `<region>.data`, and `<region>.geo` is one replica's own login server.
_ENDPOINT = re.compile(
    rf"(?P<name>{_NAME}(?:-[a-z0-9]{{4,32}})?)\.[a-z0-9]{{1,40}}\.(?P<kind>data|geo)"
    rf"\.(?P<suffix>{_SUFFIX})"
)
# Longer ones are nobody's slip.
_MOST = 120
_MEANT = re.compile(
    rf"(?P<name>{_NAME}(?:-[a-z0-9]{{4,32}})?)[.-]azure-?cr[.-](?P<end>io|cn|us)(?![a-z0-9])"
)


@dataclass(frozen=True)
class AzureHost:
    """A registry's host in its parts; `name` is what the Azure CLI knows it by."""

    name: str
    suffix: str

    @property
    def sign_in_host(self) -> str:
        return SIGN_IN_HOSTS[self.suffix]

    @property
    def cloud(self) -> str:
        return CLOUDS[self.suffix]

    @property
    def audience(self) -> str:
        return AUDIENCES[self.suffix]


def parse_azure_host(host: str) -> AzureHost | None:
    """What a normalized host without port says, or None where it isn't one of Azure's
    registries."""
    found = _HOST.fullmatch(host)
    return AzureHost(found["name"], found["suffix"]) if found else None


def registry_of_endpoint(host: str) -> tuple[str, str]:
    """(the registry, "data" or "geo") of which this host is an endpoint; empty for none."""
    found = _ENDPOINT.fullmatch(host)
    return (f"{found['name']}.{found['suffix']}", found["kind"]) if found else ("", "")


def corrected_azure_host(host: str) -> str | None:
    """The true host that a look-alike seems to mean, or None where that can't be told. It
    begins with the registry's name: what stands further on may be another's."""
    lowered = host.lower()
    if len(lowered) > _MOST:
        return None
    # Private Link has a zone of its own, which no image is named by.
    public = lowered.replace(".privatelink.", ".", 1)
    if public != lowered and parse_azure_host(public):
        return public
    found = _MEANT.match(public)
    meant = f"{found['name']}.azurecr.{found['end']}" if found else None
    return meant if meant != lowered else None

"""Azure Container Registry, by the secret of an application of Microsoft Entra.

The secret stays here: workers get a registry's own login, of about three hours.
"""

from __future__ import annotations

from collections.abc import Mapping

from .azure_entra import by_secret
from .azure_hosts import AzureHost
from .azure_refusals import Refusals
from .azure_type import CLIENT, GUID, AzureType, client_field, tenant_field
from .types import Ask, Blanks, Config, Field, Other, Shape

_SECRET_NAMES = ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "client_secret", "password")
_VALUE = "Copy the secret's value from Certificates & secrets; it's shown once, when it is made."
_SECRET_SHAPE = Shape(
    # What Entra makes has few signs; older ones had more. A name before it isn't part of it.
    rf"(?!(?:{'|'.join(_SECRET_NAMES)})[=:])[A-Za-z0-9_.~+/=@:?\[\]*-]{{16,200}}",
    "secret_shape",
    "This isn't a client secret: {odd}.",
    _VALUE,
    others=(
        Other(rf"(?i:{GUID})", "This is the secret's ID, not its value.", _VALUE),
        Other(
            r"[!-~]{0,8}(?:\*{4,}|•{4,})[!-~•]{0,200}",
            "This is what the portal shows of a secret afterwards.",
            "Its value is shown once, when it is made: make another, and copy its value.",
        ),
        Other(
            r"\{[!-~]{10,}",
            "This is the whole answer of az ad sp create-for-rbac.",
            "Enter its password here, its appId as Client ID and its tenant as Tenant ID.",
        ),
        Other(
            r"-----BEGIN(?s:.*)",
            "This is a certificate or its key, and this type takes a secret.",
            "Make a client secret under Certificates & secrets, and copy its value.",
        ),
    ),
)
# Microsoft, «Microsoft Entra authentication and authorization error codes».
_SECRETS = "Certificates & secrets"
_NO_TENANT = (
    "invalid_key",
    "There is no tenant{tenant} in this cloud of Azure's.",
    "Compare the tenant ID with the application's Overview, and the registry's host with its "
    "cloud.",
)
REFUSALS: Refusals = {
    "7000215": (
        "signature_mismatch",
        "Microsoft Entra knows the application{client}, but this secret isn't one of its own.",
        f"Enter the secret's value, not its ID; if it's lost, make another under {_SECRETS}.",
    ),
    "7000222": (
        "invalid_key",
        "The secret of the application{client} has ended.",
        f"Make another under {_SECRETS}, and enter it with the day on which it ends.",
    ),
    "700016": (
        "invalid_key",
        "The tenant{tenant} has no application{client}.",
        "Compare both with the application's Overview: the client ID is not the object ID. A new "
        "application takes a minute to be known.",
    ),
    "90002": _NO_TENANT,
    "900023": _NO_TENANT,
    "7000112": (
        "invalid_key",
        "The application{client} is disabled in its tenant.",
        "Enable it under Enterprise applications, Properties, or use another.",
    ),
    "7000218": (
        "invalid_key",
        "Microsoft Entra got no secret with the application{client}.",
        "Enter the client secret again.",
    ),
}


class AzureRegistry(AzureType):
    """An application's secret, kept here; the server obtains a login of three hours with it."""

    slug = "azure-acr"
    label = "Azure Container Registry"
    short_label = "Azure"
    summary = "A service principal's secret, for *.azurecr.io and for workers anywhere."
    secret_ends = True
    refusals = REFUSALS
    fields = (
        tenant_field("The directory that the application is in."),
        client_field("The application's, which is not its object ID."),
        Field(
            name="client_secret",
            label="Client secret",
            help="Its value, which Azure shows once. It's stored sealed and never shown.",
            secret=True,
            shape=_SECRET_SHAPE,
            max_length=200,
            paired_with=CLIENT,
            blanks=Blanks.DROPPED,
            pasted_as=_SECRET_NAMES,
        ),
    )

    def proof(self, host: AzureHost, secrets: Config, ask: Ask) -> Mapping[str, str]:
        return by_secret(secrets["client_secret"])

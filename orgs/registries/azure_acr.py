"""Azure Container Registry, by the secret of an application of Microsoft Entra.

The secret stays here: workers get a registry's own login, of about three hours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from . import azure_entra, provider_calls
from .azure_entra import Application
from .azure_hosts import corrected_azure_host, parse_azure_host, registry_of_endpoint
from .azure_roles import ABAC_ROLE, ROLE, puller
from .lookalikes import lookalike, not_its_own
from .outbound import Unreachable
from .patterns import MatchPattern, not_a_registry
from .private import private
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

_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OVERVIEW = "the application's Overview in Microsoft Entra"
_KIND = "a registry of Azure's"
_TENANT, _CLIENT, _SECRET = "tenant_id", "client_id", "client_secret"
_NAMES = {
    _TENANT: ("AZURE_TENANT_ID", "ARM_TENANT_ID", "tenant_id", "tenantId", "tenant"),
    _CLIENT: ("AZURE_CLIENT_ID", "ARM_CLIENT_ID", "client_id", "clientId", "appId"),
}


def _guid(text: str) -> str:
    """As Azure writes one, out of the ways that others do."""
    return text.strip("{}").lower().removeprefix("urn:uuid:").removeprefix("api://")


def _id(name: str, label: str, help: str, named: str, *others: Other, hidden: bool) -> Field:
    return Field(
        name=name,
        label=label,
        help=help,
        example="11111111-2222-3333-4444-555555555555"
        if hidden
        else "66666666-7777-8888-9999-000000000000",
        hidden_from_members=hidden,
        missing=f"Copy {named} from {_OVERVIEW}.",
        shape=Shape(
            _GUID,
            "guid_shape",
            f"This isn't {named}: it has 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12.",
            f"Copy it from {_OVERVIEW}.",
            others=others,
        ),
        max_length=100,
        blanks=Blanks.DROPPED,
        echo=_GUID,
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
    "This stands for any tenant, and a secret is of one.",
    f"Copy the Directory (tenant) ID from {_OVERVIEW}.",
)
_SECRET_NAMES = ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "client_secret", "password")
_VALUE = "Copy the secret's value from Certificates & secrets; it's shown once, when it is made."
_SECRET_SHAPE = Shape(
    # What Entra makes has few signs; older ones had more. A name before it isn't part of it.
    rf"(?!(?:{'|'.join(_SECRET_NAMES)})[=:])[A-Za-z0-9_.~+/=@:?\[\]*-]{{16,200}}",
    "secret_shape",
    "This isn't a client secret: {odd}.",
    _VALUE,
    others=(
        Other(rf"(?i:{_GUID})", "This is the secret's ID, not its value.", _VALUE),
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


class AzureRegistry(RegistryType):
    """An application's secret, kept here; the server obtains a login of three hours with it."""

    slug = "azure-acr"
    label = "Azure Container Registry"
    short_label = "Azure"
    summary = "A service principal's secret, for *.azurecr.io and for workers anywhere."
    group = "Azure"
    travel = Travel.MINTED
    login_life = "3 hours"
    provider = Provider.AZURE
    private_addresses = True  # Private Link
    secret_ends = True
    example_pattern = "yourregistry.azurecr.io/*"
    denied_fixes = {
        "access_denied": "Run the commands below, which let that application pull, wait a minute, "
        "and verify again.",
        "image_denied": "Run the commands below, which give the role that counts in this "
        "registry, wait a minute, and verify again.",
    }
    fields = (
        _id(
            _TENANT,
            "Tenant ID",
            "The directory that the application is in.",
            "the Directory (tenant) ID",
            _A_DOMAIN,
            _ANY_TENANT,
            hidden=False,
        ),
        _id(
            _CLIENT,
            "Client ID",
            "The application's, which is not its object ID.",
            "the Application (client) ID",
            hidden=True,
        ),
        Field(
            name=_SECRET,
            label="Client secret",
            help="Its value, which Azure shows once. It's stored sealed and never shown.",
            secret=True,
            shape=_SECRET_SHAPE,
            max_length=200,
            paired_with=_CLIENT,
            blanks=Blanks.DROPPED,
            pasted_as=_SECRET_NAMES,
        ),
    )

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        problems = list(self._host_problems(patterns))
        if config[_TENANT] and config[_TENANT] == config[_CLIENT]:
            what = "The same stands under Tenant ID, and an application has an ID of its own."
            fix = f"Copy the Application (client) ID from {_OVERVIEW}."
            problems.append(Problem("guid_shape", what, fix, _CLIENT))
        return config, secrets, problems

    def secret_scope(self, config: Config, patterns: Sequence[MatchPattern]) -> frozenset[str]:
        """The tenant, at the sign-in of its cloud: the secret goes nowhere else."""
        hosts = (parse_azure_host(pattern.host) for pattern in patterns)
        tenant = config.get(_TENANT, "")
        return frozenset(f"{host.sign_in_host}/{tenant}" for host in hosts if host)

    def login_scope(self, config: Config, host: str, repository: str = "") -> str:
        return host  # a registry's login is its own

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        return puller(patterns, config.get(_CLIENT, ""))

    def host_refusal(self, config: Config, host: str) -> Failed | None:
        return None if parse_azure_host(host) else not_its_own(host, _KIND)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        host = parse_azure_host(ask.host)
        if host is None:
            raise not_its_own(ask.host, _KIND)
        application = Application(
            config.get(_TENANT, ""), config.get(_CLIENT, ""), secrets.get(_SECRET, "")
        )
        if not (application.tenant and application.client and application.secret):
            raise Failed(
                "entry_unusable",
                "The entry has no complete application: tenant, client ID and secret.",
                "Enter all three again.",
            )
        began = time.monotonic()
        try:
            token, ends = azure_entra.refresh_token(
                application, host, ask.host, stand_in=ask.endpoint_url, deadline=ask.deadline
            )
        except azure_entra.Fault as fault:
            raise _told(fault, application, ask.host) from None
        except azure_entra.NotAzure as error:
            where = _where(error.at, ask.host)
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


def _where(at: str, host: str) -> str:
    return host if at == "registry" else "Azure's sign-in"


_NUMBER = re.compile(r"[0-9]{4,9}", re.ASCII)
_SECRETS = "Certificates & secrets"
# Microsoft, «Microsoft Entra authentication and authorization error codes», by number:
# (our code, what is so, what to do).
_ENTRA: dict[str, tuple[str, str, str]] = {
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
    "90002": (
        "invalid_key",
        "There is no tenant{tenant} in this cloud of Azure's.",
        "Compare the tenant ID with the application's Overview, and the registry's host with its "
        "cloud.",
    ),
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
    "53003": (
        "access_denied",
        "Conditional access of the tenant keeps the application{client} from signing in here.",
        "Ask who administers the tenant to except this application, or this server's address.",
    ),
    "500011": (
        "access_denied",
        "The tenant{tenant} doesn't know Azure Container Registry as something to sign in to.",
        "Check the tenant ID; if it's right, ask who administers the tenant.",
    ),
}
_ENTRA |= {"900023": _ENTRA["90002"], "530034": _ENTRA["53003"], "650052": _ENTRA["500011"]}
_ELSEWHERE = frozenset({"53003", "530034", "500011", "650052"})


def _told(fault: azure_entra.Fault, application: Application, host: str) -> Failed:
    """Azure's error in our words. Its own text never travels: only its number."""
    where = _where(fault.at, host)
    if fault.throttled:
        return provider_calls.throttled(where)
    if fault.broken:
        return provider_calls.unreachable(f"{where} has trouble of its own.", where)
    if fault.at == "registry":
        return _told_by_registry(fault, application, host)
    client, tenant = private(f" {application.client}"), private(f" {application.tenant}")
    if known := _ENTRA.get(fault.reason):
        code, what, fix = known
        elsewhere = fault.reason in _ELSEWHERE
        told = what.format(client=client, tenant=tenant)
        return Failed(code, told, fix, mended_elsewhere=elsewhere)
    number = f" (AADSTS{fault.reason})" if _NUMBER.fullmatch(fault.reason) else ""
    if fault.status in (400, 401, 403):
        return Failed(
            "invalid_key",
            f"Microsoft Entra doesn't let the application{client} sign in{number}.",
            "Look that number up, and at the application's Sign-in logs in Microsoft Entra."
            if number
            else "Look at the application's Sign-in logs in Microsoft Entra.",
        )
    return provider_calls.unreachable(f"{where} refused the request ({fault.status}).", where)


def _told_by_registry(fault: azure_entra.Fault, application: Application, host: str) -> Failed:
    client = private(f" {application.client}")
    if fault.status == 403 and ("not allowed access" in fault.text or "firewall" in fault.text):
        return Failed(
            "registry_unreachable",
            f"The firewall of {host} doesn't let this server in, so it gives no login.",
            "Allow this server's address in the registry's Networking; workers need a way in of "
            "their own.",
            retry_after=60,
        )
    if fault.status in (401, 403):
        return Failed(
            "access_denied",
            f"{host} gives the application{client} no login, as where it has no role there or the "
            "registry is another tenant's.",
            f"Give it {ROLE}, or {ABAC_ROLE} where the registry has role assignments by "
            "repository, and try again in a minute.",
        )
    if fault.status == 404:
        return Failed(
            "registry_unreachable",
            f"There is no registry {host}, or it isn't there yet.",
            "Correct the host in the match pattern.",
            retry_after=60,
        )
    return provider_calls.unreachable(f"{host} refused the request ({fault.status}).", host)

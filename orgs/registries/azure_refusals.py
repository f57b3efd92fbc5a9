"""What Azure refuses, in our words: by its sign-in, Microsoft Entra, and by its registries.

Azure's own text never travels: only its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import azure_entra, provider_calls
from .azure_hosts import AzureHost
from .azure_roles import ABAC_ROLE, ROLE
from .private import private
from .problems import Failed

# By number: (our code, what is so, what to do). `{client}` and `{tenant}` are private parts,
# `{holder}` is “application”, or what else may stand behind a client ID, and `{audience}` for
# whom an identity from elsewhere vouches in the registry's cloud.
Refusals = Mapping[str, tuple[str, str, str]]

CONDITIONAL_ACCESS = (
    "access_denied",
    "Conditional access of the tenant keeps the {holder}{client} from signing in here.",
    "Ask who administers the tenant to except it, or this server's address.",
)
NO_REGISTRIES = (
    "access_denied",
    "The tenant{tenant} doesn't know Azure Container Registry as something to sign in to.",
    "Check the tenant ID; if it's right, ask who administers the tenant.",
)
# Both by Microsoft, «Microsoft Entra authentication and authorization error codes».
ANY: Refusals = {
    "53003": CONDITIONAL_ACCESS,
    "530034": CONDITIONAL_ACCESS,
    "500011": NO_REGISTRIES,
    "650052": NO_REGISTRIES,
}
_NUMBER = re.compile(r"[0-9]{4,9}", re.ASCII)


def told(
    fault: azure_entra.Fault,
    application: azure_entra.Application,
    authority: str,
    host: AzureHost,
    refusals: Refusals,
    *,
    holder: str,
    otherwise: str,
) -> Failed:
    """A fault as a failure; `authority` is the registry's `host` as it's asked for. `refusals`
    are the sign-in's by number besides `ANY`; one that has no sentence gets the code
    `otherwise`."""
    where = place(fault.at, authority)
    if fault.throttled:
        return provider_calls.throttled(where)
    if fault.broken:
        return provider_calls.unreachable(f"{where} has trouble of its own.", where)
    client, tenant = private(f" {application.client}"), private(f" {application.tenant}")
    if fault.at == "registry":
        return _by_registry(fault, f"{holder}{client}", authority)
    if known := refusals.get(fault.reason) or ANY.get(fault.reason):
        code, what, fix = known
        return Failed(
            code,
            what.format(client=client, tenant=tenant, holder=holder, audience=host.audience),
            fix.format(audience=host.audience),
            retry_after=5 if code in _PASSING else None,
            mended_elsewhere=fault.reason in ANY,
        )
    number = f" (AADSTS{fault.reason})" if _NUMBER.fullmatch(fault.reason) else ""
    if fault.status in (400, 401, 403):
        return Failed(
            otherwise,
            f"Microsoft Entra doesn't let the {holder}{client} sign in{number}.",
            "Look that number up, and at its Sign-in logs in Microsoft Entra."
            if number
            else "Look at its Sign-in logs in Microsoft Entra.",
        )
    return provider_calls.unreachable(f"{where} refused the request ({fault.status}).", where)


_PASSING = frozenset({"issuer_unreachable", "clock_skew"})


def place(at: str, host: str) -> str:
    """Who answered, of the two that are asked (`azure_entra.Fault.at`)."""
    return host if at == "registry" else "Azure's sign-in"


def _by_registry(fault: azure_entra.Fault, whose: str, host: str) -> Failed:
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
            f"{host} gives the {whose} no login, as where it has no role there or the registry is "
            "another tenant's.",
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

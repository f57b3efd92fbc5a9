"""What this server is called as an OpenID Connect issuer, as the operator set it: what a cloud
takes for a name, and the system checks of that.

Nothing is remembered: settings are read when they're asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

MOST = 255  # characters: AWS takes no longer one for a provider's address
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# AWS refuses a port, Google a query and a fragment; a name in small letters is compared the
# same everywhere. The last part of an address that is a number isn't a name's.
_URL = re.compile(
    rf"https://(?=[a-z0-9.-]{{1,253}}(?:/|$))(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
    r"(?:/[A-Za-z0-9._~-]+)*",
)
# The thumbprint of a key (RFC 7638): SHA-256 in URL-safe base64.
_KID = re.compile(r"[A-Za-z0-9_-]{43}")


def configured() -> str:
    """The name that the settings give."""
    return settings.OIDC_ISSUER or settings.BASE_URL


def fault(url: str) -> str:
    """What is wrong with a name for an issuer, as the end of a sentence; "" where nothing is."""
    if not url.startswith("https://"):
        return "isn't https"
    if len(url) > MOST:
        return f"is longer than {MOST} characters"
    if url.endswith("/"):
        return "ends in a slash"
    if "?" in url or "#" in url:
        return "has more than a path behind its host"
    host = url.removeprefix("https://").partition("/")[0]
    if "@" in host:
        return "has a user in it"
    if ":" in host:
        return "has a port in it, which AWS doesn't take"
    if not _URL.fullmatch(url) or "/.." in url or "/./" in f"{url}/":
        return "isn't the address of a host with a full name, in small letters"
    return ""


def works() -> bool:
    """Whether the settings give a name that clouds take."""
    return not fault(configured())


@register("valohai")
def issuer(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """orgs.E017 OIDC_ISSUER is no name that clouds take · E018 OIDC_DROPPED_KEYS has what is
    no key's id. A BASE_URL that can't be one is no fault: nothing asks for keyless access."""
    return [*_name(), *_dropped()]


def _name() -> Iterator[CheckMessage]:
    if settings.OIDC_ISSUER and (why := fault(settings.OIDC_ISSUER)):
        yield Error(
            f"The address in OIDC_ISSUER {why}.",
            hint="Write it as https://registries.example.com, with a path if it has one and no "
            "slash at the end, or leave it out: then it's BASE_URL.",
            id="orgs.E017",
        )


def _dropped() -> Iterator[CheckMessage]:
    for position, kid in enumerate(settings.OIDC_DROPPED_KEYS, start=1):
        # Not the text: whoever mixes settings up may have written a secret.
        if not _KID.fullmatch(kid):
            yield Error(
                f"Item {position} in OIDC_DROPPED_KEYS is no key's id, so it bars none.",
                hint="rotate_signing_key --compromised prints the line as it belongs there.",
                id="orgs.E018",
            )

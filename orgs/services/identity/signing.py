"""What this server says of itself to one cloud, for one entry: a JWT of five minutes.

It's made for one audience, and never shown, logged or handed on.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

from orgs.models import RegistryEntry
from orgs.registries.asking import Who, nobodys_subject, subject_of
from orgs.services.audit.clock import database_now

from . import issuer, keys

BACK = timedelta(seconds=30)  # a cloud's clock may be behind
_SESSION = 64  # characters; the entry's id has half of them


def who(entry: RegistryEntry) -> Who:
    """What the entry is to clouds: ids that are never used again, so that nobody inherits what
    trusts it; its session is called after organization and entry."""
    organization = entry.organization
    named = re.sub(r"[^A-Za-z0-9=,.@-]", "-", organization.slug)[: _SESSION - 33]
    return Who(
        subject=subject_of(organization.uuid, entry.pk),
        issuer=issuer.configured() if issuer.works() else "",
        session=f"{named}-{entry.pk.hex}",
    )


def signed(entry: RegistryEntry, audience: str, *, by: keys.Signer | None = None) -> str:
    """The JWT for this entry and audience, by the key whose turn it is unless another is given;
    raises `Failed`."""
    return _signed(who(entry).subject, audience, by)


def of_nobody(audience: str) -> str:
    """The same of an entry that isn't there, to see that it's refused."""
    return _signed(nobodys_subject(), audience, None)


def _signed(subject: str, audience: str, by: keys.Signer | None) -> str:
    import jwt  # late: most commands need none of it

    url = issuer.named()
    signer = by or keys.signing()
    now = database_now()
    claims = {
        "iss": url,
        "sub": subject,
        "aud": audience,
        "iat": int((now - BACK).timestamp()),
        "nbf": int((now - BACK).timestamp()),
        "exp": int((now + keys.TOKEN_LIFE).timestamp()),
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, signer.key, keys.ALGORITHM, headers={"kid": signer.kid})

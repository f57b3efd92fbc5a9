"""What this server says of itself to one cloud, for one entry: a JWT of five minutes.

It's made for one audience, and never shown, logged or handed on.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from orgs.models import RegistryEntry
from orgs.services.audit.clock import database_now

from . import issuer, keys

BACK = timedelta(seconds=30)  # a cloud's clock may be behind


def subject(entry: RegistryEntry) -> str:
    """Whom a cloud is to trust: ids that are never used again, so that nobody inherits it."""
    return f"organization:{entry.organization.uuid}:entry:{entry.pk}"


def signed(entry: RegistryEntry, audience: str) -> str:
    """The JWT for this entry and audience; raises `Failed`."""
    import jwt  # late: most commands need none of it

    url = issuer.named()
    signer = keys.signing()
    now = database_now()
    claims = {
        "iss": url,
        "sub": subject(entry),
        "aud": audience,
        "iat": int((now - BACK).timestamp()),
        "nbf": int((now - BACK).timestamp()),
        "exp": int((now + keys.TOKEN_LIFE).timestamp()),
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, signer.key, keys.ALGORITHM, headers={"kid": signer.kid})

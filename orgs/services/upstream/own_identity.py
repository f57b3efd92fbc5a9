"""Whose AWS identity this server has, as AWS says it: learned now and then, and kept for pages,
which ask no cloud.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from orgs.models import Issuer
from orgs.models.identity import ONE
from orgs.outside import outside
from orgs.registries import aws_server
from orgs.registries.aws_ecr_keyless import parse_caller
from orgs.registries.aws_sts import StsApi
from orgs.registries.problems import Failed

SECONDS = 5.0
KEPT_FOR = timedelta(hours=1)


def arn() -> str:
    """The ARN that AWS told last; "" where it's switched off or was never told."""
    if not settings.AWS_SERVER_IDENTITY:
        return ""
    row = Issuer.objects.filter(pk=ONE).first()
    return row.own_aws if row else ""


def account() -> str:
    """The account of it."""
    return parse_caller(arn())


def learn() -> None:
    """Ask AWS anew where that is long ago, or was never done. Blocking; a failure leaves what
    is known, and is told by whoever needs the identity for more than to show it."""
    if not settings.AWS_SERVER_IDENTITY:
        return
    assert not connection.in_atomic_block, "nobody outside is asked inside a transaction"
    known = Issuer.objects.filter(pk=ONE, own_aws_at__gt=Now() - KEPT_FOR, own_aws_at__lte=Now())
    if known.exists():
        return
    deadline = time.monotonic() + SECONDS
    try:
        with outside():
            own = aws_server.key(deadline)
            api = StsApi(own, _where(), settings.AWS_ENDPOINT_URL, fips=False, deadline=deadline)
            found = api.caller()
    except (Failed, LookupError, ValueError):
        return
    if not Issuer.objects.filter(pk=ONE).update(own_aws=found, own_aws_at=Now()):
        made = Issuer(pk=ONE, own_aws=found)
        Issuer.objects.bulk_create([made], ignore_conflicts=True)
        Issuer.objects.filter(pk=ONE).update(own_aws_at=Now())


def _where() -> str:
    """Where this server's identity is asked for, as AWS's own tools are told."""
    named = (os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    return next(filter(None, named), "us-east-1")

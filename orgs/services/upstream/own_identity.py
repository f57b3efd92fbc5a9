"""Whose AWS identity this server has, as AWS says it: learned now and then, and kept for pages,
which ask no cloud.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from orgs.models import Issuer
from orgs.models.identity import ONE
from orgs.outside import outside
from orgs.registries import aws_server
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
    return aws_server.account_of(arn())


def learn() -> None:
    """Ask AWS anew where that is long ago, or was never done. Blocking; a failure leaves what
    is known, and is told by whoever needs the identity for more than to show it."""
    if not settings.AWS_SERVER_IDENTITY:
        return
    assert not connection.in_atomic_block, "nobody outside is asked inside a transaction"
    known = Issuer.objects.filter(pk=ONE, own_aws_at__gt=Now() - KEPT_FOR, own_aws_at__lte=Now())
    if known.exclude(own_aws="").exists():
        return
    try:
        with outside():
            end = time.monotonic() + SECONDS
            found = aws_server.identity(settings.AWS_ENDPOINT_URL, end).arn
    except Failed:
        found = ""
    told = {"own_aws": found, "own_aws_at": Now()}
    if not Issuer.objects.filter(pk=ONE).update(**told):
        Issuer.objects.bulk_create([Issuer(pk=ONE)], ignore_conflicts=True)
        Issuer.objects.filter(pk=ONE).update(**told)

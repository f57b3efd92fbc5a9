"""This server as an OpenID Connect issuer: its name, and the keys that it signs with."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs.sealed import Sealed, SealedField
from orgs.stored import StoredText, StoredTexts

ONE = 1


class Issuer(models.Model):
    """One row: the name that clouds know this server by, from the first token on, and who
    outside fetched its keys last."""

    id = models.SmallIntegerField(primary_key=True, default=ONE)
    url = StoredText(max_length=300, blank=True)
    fetched_at = models.DateTimeField(null=True)
    fetched_from = models.GenericIPAddressField(null=True)
    fetched_by = StoredText(max_length=200, cut=True, blank=True)
    # Whose identity this server has at AWS, as that said itself, and when.
    own_aws = StoredText(max_length=700, cut=True, blank=True)
    own_aws_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=ONE), name="issuer_is_one")]

    def __str__(self) -> str:
        return self.url


class SigningKey(models.Model):
    """An RSA key. One signs at a time; the next is published before it does, the former one
    until its last token is dead. What signs no more has no private part any more."""

    class State(models.TextChoices):
        COMING = "coming", "Published, signs later"
        SIGNING = "signing", "Signs"
        FORMER = "former", "Signs no more"
        DROPPED = "dropped", "Dropped"

    PUBLISHED: ClassVar = (State.COMING, State.SIGNING, State.FORMER)

    # The thumbprint of RFC 7638.
    kid = StoredText(max_length=64, primary_key=True)
    state = StoredText(max_length=10, choices=State)
    private: Sealed | None = SealedField(null=True, editable=False)  # type: ignore[assignment]
    # A JWK's `n` and `e`.
    public = StoredTexts(default=dict)
    made_at = models.DateTimeField(db_default=Now(), editable=False)
    signs_from = models.DateTimeField()
    signed_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-made_at", "kid"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="signing"),
                name="one_key_signs",
            ),
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="coming"),
                name="one_key_comes",
            ),
        ]

    def __str__(self) -> str:
        return self.kid

    @property
    def sealed_for(self) -> str:
        return f"signingkey:{self.kid}"

"""Tokens, of workers and of people."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs.stored import StoredText

from .people import Environment, Membership, Organization, User


class Token(models.Model):
    """What both kinds of token have in common.

    Their text is shown once and never stored: the key id finds the row, the digest
    (SHA-256 of the whole text, which holds 256 random bits) proves it.
    """

    prefix: ClassVar[str]

    key_id = StoredText(max_length=16, unique=True, editable=False)
    digest = StoredText(max_length=64, editable=False)
    name = StoredText(max_length=100)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Written when older than five minutes, and with it the address it came from.
    last_used_at = models.DateTimeField(null=True)
    last_address = models.GenericIPAddressField(null=True)

    class Meta:
        abstract = True
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["expires_at"], name="%(class)s_ends")]

    def __str__(self) -> str:
        return self.name

    @property
    def begins_with(self) -> str:
        """The part that may be shown, to tell tokens apart."""
        return f"{self.prefix}_{self.key_id}"


class WorkerToken(Token):
    """Workers of an organization ask for logins with it.

    Bound to an environment it speaks for that one; «any environment» lets it name
    one; else it reaches only what serves all environments (DESIGN, rule 8).
    """

    prefix = "vrw"

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="worker_tokens")
    # RESTRICT: without its environment a token would reach something else than before;
    # with its organization it may go.
    environment = models.ForeignKey(
        Environment, models.RESTRICT, null=True, related_name="worker_tokens"
    )
    any_environment = models.BooleanField(default=False)

    class Meta(Token.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(environment=None) | Q(any_environment=False),
                name="worker_token_has_one_reach",
            )
        ]

    @property
    def actor_name(self) -> str:
        """Who did what its workers did, as the audit log names them."""
        return f"worker {self.name}"


class ApiToken(Token):
    """A person's, for the management API; narrowed to one organization, or to none.

    It is narrowed by their membership, so that it ends with that, and stays ended
    should they come back.
    """

    prefix = "vra"

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    membership = models.ForeignKey(Membership, models.CASCADE, null=True, related_name="api_tokens")

    @property
    def organization(self) -> Organization | None:
        """The only one it reaches, or None for all of its person's."""
        return self.membership.organization if self.membership else None

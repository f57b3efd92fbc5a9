"""Invitations: who may come into an organization, once they follow their link."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone

from orgs.stored import StoredEmail, StoredText

from .people import Membership, Organization, User


class Invitation(models.Model):
    """Waits for one address; gone once it's accepted, withdrawn, or its maker no longer an
    org admin. Its link is made from `id` and `generation` and stands nowhere."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="invitations")
    email = StoredEmail("e-mail")
    role = StoredText(max_length=10, choices=Membership.Role, default=Membership.Role.MEMBER)
    invited_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    sent_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # Rises with each link that is sent, so that the last alone works.
    generation = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["-sent_at", "email"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"], name="invitation_once_per_organization"
            ),
            models.CheckConstraint(
                condition=Q(email=Lower("email")), name="invitation_email_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_over(self) -> bool:
        return self.expires_at <= timezone.now()

"""Where an organization's notices go besides its org admins' e-mail."""

from __future__ import annotations

import uuid

from django.db import models

from orgs.sealed import SealedField
from orgs.stored import StoredText

from .people import Organization


class NoticeAddress(models.Model):
    """An organization's one; the address itself lets whoever has it write there, so it is
    sealed, and only its host and its last characters are shown."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        SLACK = "slack", "Slack-compatible"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.OneToOneField(Organization, models.CASCADE, related_name="notice_address")
    kind = StoredText(max_length=10, choices=Kind)
    address = SealedField()
    # What a webhook's notices are signed with; none of the other kind.
    secret = SealedField(null=True)
    host = StoredText(max_length=260)
    ending = StoredText(max_length=4, blank=True)
    set_at = models.DateTimeField()
    # Rises with each signing secret, so that a page sent again replaces none twice.
    secret_generation = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    # What came of the last that failed, cleaned.
    failure = StoredText(max_length=300, blank=True, cut=True)

    def __str__(self) -> str:
        return self.host

    @property
    def sealed_for(self) -> str:
        return f"noticeaddress:{self.pk}"

    @property
    def secret_sealed_for(self) -> str:
        return f"noticeaddress:{self.pk}:secret"

    @property
    def shown(self) -> str:
        """“hooks.slack.com …AbCd”."""
        return f"{self.host} …{self.ending}" if self.ending else self.host

    @property
    def failing(self) -> bool:
        """Whether the last that was sent didn't arrive."""
        return self.failed_at is not None and (
            self.delivered_at is None or self.failed_at > self.delivered_at
        )

"""How often something happened of late: what limits and bursts are counted in."""

from __future__ import annotations

from django.db import models

from orgs.stored import StoredJson, StoredText


class Tally(models.Model):
    """A count within a window of time, and the pause that too many bring.

    Of failed sign-ins (by account and by address) and of mails (by organization); the
    key says of what. `pauses` grows until a day is quiet, and with it the next pause.
    """

    key = StoredText(max_length=80, unique=True)
    count = models.PositiveIntegerField(default=0)
    window_until = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    pauses = models.PositiveIntegerField(default=0)
    # From then on the row says nothing any more.
    forget_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} of {self.key}"


class Repeat(models.Model):
    """An event that was told, and how often the same has happened since.

    The repeats become one event once the minute is over (`services.audit.repeats`).
    """

    key = StoredText(max_length=64, unique=True)
    events = StoredJson(default=list)
    times = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.times} more of {self.key}"

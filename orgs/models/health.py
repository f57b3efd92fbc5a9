"""What is written and opened to know whether logins can be answered."""

from __future__ import annotations

from django.db import models

from orgs.sealed import SealedField

ONE = 1


class Heartbeat(models.Model):
    """One row, the same for all servers: written to know that the database takes writes,
    opened to know that the keys fit what is stored."""

    id = models.SmallIntegerField(primary_key=True, default=ONE)
    at = models.DateTimeField()
    sealed = SealedField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=ONE), name="heartbeat_is_one")]

    def __str__(self) -> str:
        return f"at {self.at}"

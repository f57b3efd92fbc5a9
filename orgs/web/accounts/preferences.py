"""What people choose for themselves on their account page: the zone of the times they see."""

from __future__ import annotations

from typing import Any

from django import forms

from orgs import zones
from orgs.forms.asking import ask
from orgs.models import User
from orgs.services.audit.events import Actor
from orgs.services.tenancy import people


class TimeZoneForm(forms.Form):
    time_zone = forms.CharField(
        label="Zone",
        required=False,
        max_length=64,
        widget=forms.Select,
        help_text="In the list, type the first letters of a city.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A former name, which a browser may have told, isn't listed but for whom it's chosen by.
        chosen = str(self["time_zone"].value() or "")
        listed = {name for _, places in zones.groups() for name, _ in places}
        own = [(chosen, chosen)] if chosen in zones.names() - listed - {"UTC"} else []
        select = self.fields["time_zone"].widget
        assert isinstance(select, forms.Select)
        select.choices = [("", "UTC"), *own, *zones.groups()]

    def write(self, person: User, actor: Actor) -> User | None:
        """The person in the new zone; None, with errors."""
        return ask(
            self, lambda: people.person_update(person=person, actor=actor, **self.cleaned_data)
        )

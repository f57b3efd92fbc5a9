"""What people choose for themselves on their account page: the zone of the times they see, and
of which organizations they get e-mails."""

from __future__ import annotations

from typing import Any

from django import forms

from orgs import zones
from orgs.forms.asking import ask
from orgs.models import Membership, User
from orgs.services.audit.events import Actor
from orgs.services.tenancy import notice_addresses, people


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


class NoticesForm(forms.Form):
    """E-mails about entries: the organizations that one administers, ticked where one gets
    them. `shown` are those that the page had, so that no other is changed by it."""

    mail = forms.MultipleChoiceField(
        label="E-mail me when an entry stops working or works again",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    shown = forms.MultipleChoiceField(required=False, widget=forms.MultipleHiddenInput)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"auto_id": "notices_%s"})
        self.person = person
        rows = person.memberships.filter(role=Membership.Role.ADMIN)
        rows = rows.select_related("organization").order_by("organization__name")
        self.rows = list(rows)
        choices = [(str(row.organization_id), str(row.organization)) for row in self.rows]
        for name in ("mail", "shown"):
            self.fields[name].choices = choices  # type: ignore[attr-defined]
        self.initial = {
            "mail": [str(row.organization_id) for row in self.rows if row.notices_by_mail],
            "shown": [key for key, _ in choices],
        }

    def write(self, actor: Actor) -> bool:
        """Whether it's saved; False, with errors."""
        return bool(ask(self, lambda: self._write(actor)))

    def _write(self, actor: Actor) -> bool:
        wanted, of = ({int(k) for k in self.cleaned_data[n]} for n in ("mail", "shown"))
        notice_addresses.mails_choose(person=self.person, actor=actor, of=of, wanted=wanted)
        return True

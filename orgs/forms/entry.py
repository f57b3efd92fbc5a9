"""The entry form: one ModelForm class per registry type, for the web and the admin.

The fields come from the type's own declaration; what is right is decided by
`services.entries`, so the form only carries values there and problems back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from django import forms
from django.http import HttpRequest, QueryDict

from orgs.models import Environment, Organization, RegistryEntry
from orgs.registries import ends, pasted
from orgs.registries.catalogue import BY_SLUG, TYPES, first
from orgs.registries.problems import Problem, Refused
from orgs.registries.types import Field, RegistryType
from orgs.services.audit.events import Actor
from orgs.services.entries import door, new_keys
from orgs.services.entries.changing import ChangedMeanwhile, EntryChange
from orgs.services.entries.offered import groups
from orgs.services.entries.validating import EntrySpec

from .fields import HELPS, NOT_IN_LIST, PatternsField, input_of, secret_end
from .lines import file_name
from .shown import Shown, ShownField, as_sent, labels

ANYWAY = "use_anyway"
# Longer than any key ID, and with what none has.
_LIKE_A_SECRET = re.compile(r"^(?=.*[^A-Z0-9_\s]).{30,}", re.DOTALL)


class EntryForm(forms.ModelForm):
    """What all types share; `entry_form` adds a type's own fields.

    On an existing entry the secret's field is there only where it is asked for:
    with `replace`, where the type changes, where there is none that opens, or
    where saving turned out to need it.
    """

    type: RegistryType

    patterns = PatternsField(
        label="Match pattern",
        required=False,
        help_text="Which images this entry serves. One pattern per line.",
    )
    registry_type = forms.ChoiceField(
        label="Registry type",
        error_messages=NOT_IN_LIST,
        widget=forms.Select(attrs={HELPS: True}),
    )

    class Meta:
        model = RegistryEntry
        fields = ["note", "enabled"]
        help_texts = {
            "note": "For whoever looks after this entry next.",
            "enabled": "A disabled entry serves nothing and reserves no pattern.",
        }
        widgets = {"note": forms.TextInput(attrs={"autocomplete": "off"})}

    def __init__(
        self,
        data: QueryDict | None = None,
        files: Any = None,
        *args: Any,
        organization: Organization,
        replace: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, files, *args, **kwargs)
        self.organization = organization
        self.dropped: set[str] = set()
        # Whether it can only be opened anew, since others made another type of the entry.
        self.outdated = False
        self._proven: bool | None = None
        self._proof: new_keys.Proof | None = None
        self.entry = self.instance if self.instance.pk and not self.instance._state.adding else None
        self.fields["patterns"].example = self.type.example_pattern  # type: ignore[attr-defined]
        choices = [(group, [(t.slug, t.label) for t in kinds]) for group, kinds in groups().items()]
        self.fields["registry_type"].choices = choices  # type: ignore[attr-defined]
        self.initial.setdefault("registry_type", self.type.slug)
        environments = Environment.objects.filter(organization=organization)
        if environments:
            self.fields["environments"] = forms.ModelMultipleChoiceField(
                environments,
                required=False,
                widget=forms.CheckboxSelectMultiple(attrs={HELPS: True}),
                help_text="None chosen means all.",
            )
        if self.type.secret_fields:
            self.fields[ends.NAME] = secret_end()
        if self.entry is not None:
            self.fill_in(self.entry)
            self.fields["shown"] = ShownField()
            self.initial["shown"] = Shown.of(self.entry).written()
            if not (replace or self._asks_for_secret(self.entry, {*(data or {}), *(files or {})})):
                for secret in self.type.secret_fields:
                    del self.fields[secret.name]
            elif day := self.initial.pop(ends.NAME, ""):
                # Of the secret that goes: the new one has an end of its own.
                self.fields[ends.NAME].help_text = f"The one before: {day}."
        if ANYWAY in (data or {}):
            self._offer_anyway()
        self._in_order()

    def fill_in(self, entry: RegistryEntry) -> None:
        """Begin with what the entry has, but for note, enabled and the secret."""
        self.initial.update(patterns=entry.pattern_texts, environments=entry.environments)
        for declared in self.type.config_fields:
            self.initial[declared.name] = entry.config.get(declared.name, "")
            self._offer(declared.name, self.initial[declared.name])
        if ends.NAME in self.fields and entry.secret_expires_on:
            self.initial[ends.NAME] = entry.secret_expires_on.isoformat()

    def _offer(self, name: str, value: str) -> None:
        """A stored value stays choosable even where the list doesn't know it."""
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField) and value:
            choices = list(field.choices)  # type: ignore[arg-type]
            if value not in dict(choices):
                field.choices = [*choices, (value, value)]

    def _asks_for_secret(self, entry: RegistryEntry, sent: set[str]) -> bool:
        return (
            entry.registry_type != self.type.slug
            or not entry.secrets
            or entry.status == RegistryEntry.Status.UNREADABLE
            or any({f.name, file_name(f.name)} & sent for f in self.type.secret_fields)
        )

    def _in_order(self) -> None:
        own = [f.name for f in self.type.fields]
        last = ["environments", "note", "enabled"]
        self.order_fields(["patterns", "registry_type", *own, ends.NAME, *last])

    def keep(self, typed: QueryDict, files: Mapping[str, Any]) -> None:
        """Show what was typed, unjudged; secrets are dropped."""
        self.dropped = set(_secrets_in(typed, files))
        for name, field in self.fields.items():
            if name not in self.dropped and not field.widget.value_omitted_from_data(
                typed, files, name
            ):
                self.initial[name] = field.widget.value_from_datadict(typed, files, name)

    @property
    def type_rows(self) -> list[tuple[Field, forms.BoundField | None, bool]]:
        """(declared, field, secret dropped) of the registry type's own fields.

        No field is a secret that stays as it is. Dropped is one that was typed but
        isn't given back, so that it must be typed again.
        """
        return [
            (f, self[f.name] if f.name in self.fields else None, f.name in self.dropped)
            for f in self.type.fields
        ]

    @property
    def secret_end(self) -> forms.BoundField | None:
        """When the secret ends; none where there is no secret."""
        return self[ends.NAME] if ends.NAME in self.fields else None

    @property
    def anyway(self) -> forms.BoundField | None:
        """The choice to save a key that failed; there once one did."""
        return self[ANYWAY] if ANYWAY in self.fields else None

    def _offer_anyway(self) -> None:
        self.fields[ANYWAY] = forms.BooleanField(
            label="Use it anyway",
            required=False,
            help_text="Saves the new key untested. Pulls fail from the next login on, until "
            "it works.",
        )

    @property
    def folded(self) -> list[forms.BoundField]:
        """What most people leave as it is."""
        return [self[name] for name in ("environments", "note", "enabled") if name in self.fields]

    @property
    def unfolded(self) -> bool:
        """Whether any of those differs from what a new entry has, or has an error."""
        return any(field.errors for field in self.folded) or (
            bool(self["note"].value())
            or not self["enabled"].value()
            or ("environments" in self.fields and bool(self["environments"].value()))
        )

    def spec(self) -> EntrySpec:
        given = self.cleaned_data
        return EntrySpec(
            registry_type=self.type.slug,
            patterns=given.get("patterns") or [],
            config={f.name: given.get(f.name) or "" for f in self.type.config_fields},
            secrets={f.name: given.get(f.name) or "" for f in self.type.secret_fields},
            environments=list(given.get("environments") or []),
            enabled=bool(given.get("enabled")),
            note=given.get("note") or "",
            secret_expires_on=given.get(ends.NAME) or "",
        )

    def _change(self, entry: RegistryEntry) -> EntryChange:
        """What the person changed of what the form showed them; the rest isn't theirs."""
        shown = self.cleaned_data.get("shown")
        was = shown or Shown.of(entry)
        spec, mine = self.spec(), self._mine(was)
        retyped = "registry_type" in mine
        config = {n: v for n, v in spec.config.items() if retyped or n in mine}
        return EntryChange(
            registry_type=spec.registry_type if retyped else None,
            patterns=spec.patterns if "patterns" in mine else None,
            config=config,
            secrets=spec.secrets,
            environments=spec.environments if "environments" in mine else None,
            enabled=spec.enabled if "enabled" in mine else None,
            note=spec.note if "note" in mine else None,
            secret_expires_on=spec.secret_expires_on if ends.NAME in mine else None,
            made_for=self.type.slug if config or any(spec.secrets.values()) else "",
            made_from=shown.made_from if shown else None,
        )

    def _mine(self, was: Shown) -> set[str]:
        """The fields that hold something else than was shown."""
        spec = self.spec()
        typed: dict[str, Any] = {
            **spec.config,
            "patterns": spec.patterns,
            "registry_type": spec.registry_type,
            "note": spec.note,
            "enabled": spec.enabled,
        }
        if ends.NAME in self.fields:
            typed[ends.NAME] = spec.secret_expires_on
        if "environments" in self.fields:
            typed["environments"] = sorted(e.pk for e in spec.environments)
        lines = {f.name: f for f in self.type.config_fields if f.lines}
        for name, declared in lines.items():
            typed[name] = as_sent(declared.typed(spec.config[name]))
        return {name for name, value in typed.items() if value != as_sent(was.values.get(name, ""))}

    def clean(self) -> dict[str, Any]:
        try:
            if self.entry is None:
                door.entry_validate(organization=self.organization, spec=self.spec())
            else:
                door.change_validate(entry=self.entry, change=self._change(self.entry))
        except ChangedMeanwhile:
            self._tell_meanwhile()
        except Refused as refused:
            # A field that is wrong already looks empty to the service: once is enough.
            told = set(self.errors)
            self.refuse(problem for problem in refused.problems if problem.field not in told)
        if self.errors:
            self._drop_secrets()
        return self.cleaned_data

    def _drop_secrets(self) -> None:
        """The page that tells the errors never shows a secret, even in the wrong field."""
        self.dropped = set(_secrets_in(self.data, self.files))
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        for name in self.dropped:
            data[name] = ""
        self.data = data

    def refuse(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            error = forms.ValidationError(str(problem), code=problem.code)
            error.suggestion = problem.suggestion  # type: ignore[attr-defined]
            self._show(problem.field)
            self.add_error(problem.field if problem.field in self.fields else None, error)

    def _tell_meanwhile(self) -> None:
        """Say who changed what since the form was shown; it begins anew with what stands,
        but for what its person changed."""
        if self.entry is None:
            raise AssertionError("Only an entry that stands can change.")
        entry = RegistryEntry.objects.select_related("updated_by").get(pk=self.entry.pk)
        was = self.cleaned_data.get("shown") or Shown.of(self.entry)
        now = Shown.of(entry)
        others, mine = was.differing(now), self._mine(was)
        names = ", ".join(labels(entry, was, others)) or "This entry"
        what = f"{entry.updated_by or 'Someone'} changed this entry since you opened it: {names}."
        if "registry_type" in others and "registry_type" not in mine:
            # These are the fields of a type that it isn't any more: saved, they would undo
            # the other's choice and erase their secret. So what was shown stays, and each
            # press is told the same.
            self.outdated = True
            fix = "This form has the fields of the type it was, so it can't be saved. Open it anew."
        else:
            data: Any = self.data.copy()  # type: ignore[attr-defined]
            data["shown"] = now.written()
            for name in set(others) - mine:
                _put(data, name, now.values.get(name, ""))
            self.data = data
            lost = " and ".join(f.label for f in self.type.secret_fields if self.data.get(f.name))
            kept = f"What you typed is kept, but for {lost}" if lost else "What you typed is kept"
            fix = f"{kept}; the rest shows how it is now. Look it over and save again."
            if lost:
                fix = f"{kept}, which you enter again; the rest shows how it is now."
        self.entry = self.instance = entry
        self.refuse([Problem("changed_meanwhile", what, fix)])
        self._drop_secrets()

    def _show(self, name: str | None) -> None:
        """Bring back the secret's field where the change turns out to need it."""
        if name not in self.fields and name in self.base_fields:
            self.fields[name] = deepcopy(self.base_fields[name])
            self._in_order()

    def _post_clean(self) -> None:
        """Nothing of the model's own: the service fills and checks the instance."""

    def proven(self) -> bool:
        """Whether what was typed may be saved: it's valid, and a key that replaces
        another works.

        Asks the registry the first time it's called, so not inside a transaction.
        """
        if self._proven is None:
            self._proven = self.is_valid() and self._key_works()
        return self._proven

    def _key_works(self) -> bool:
        if self.entry is None:
            return True
        if self.cleaned_data.get(ANYWAY):
            self._proof = new_keys.ANYWAY
            return True
        change = self._change(self.entry)
        try:
            self._proof = door.change_prove(entry=self.entry, change=change, attended=True)
        except new_keys.KeyFailed as failed:
            self.refuse([failed.in_full])
            self._drop_secrets()
            self._offer_anyway()
            return False
        return True

    @property
    def save_label(self) -> str:
        return "Save" if self.anyway is None else "Try again"

    def write(self, actor: Actor) -> RegistryEntry | None:
        """Save through the service; None, with errors, where something is wrong.

        Call `proven` first where this runs inside a transaction.
        """
        if not self.proven():
            return None
        try:
            if self.entry is None:
                return door.entry_create(
                    organization=self.organization, actor=actor, spec=self.spec()
                )
            return door.entry_update(
                entry=self.entry,
                actor=actor,
                change=self._change(self.entry),
                proof=self._proof,
                attended=True,
            )
        except ChangedMeanwhile:
            self._tell_meanwhile()
            return None
        except Refused as refused:  # someone was faster
            self.refuse(refused.problems)
            self._drop_secrets()
            return None


def _put(data: QueryDict, name: str, value: Any) -> None:
    """Have the form hold a value as if it had been sent."""
    if isinstance(value, bool):
        data.setlist(name, ["on"] if value else [])
    elif name == "patterns":
        data[name] = "\n".join(value)
    elif isinstance(value, list):
        data.setlist(name, [str(one) for one in value])
    else:
        data[name] = value


def _secrets_in(typed: Mapping[str, Any], files: Mapping[str, Any]) -> list[str]:
    """The fields that hold a secret: its own, typed or in a file, and what looks like one in
    an identity's."""
    declared = [f for registry_type in TYPES for f in registry_type.fields]
    secret = {f.name for f in declared if f.secret}
    names = {name for name in secret if typed.get(name) or file_name(name) in files}
    names |= {
        f.name
        for f in declared
        if f.hidden_from_members and _looks_like_a_secret(f, typed.get(f.name) or "")
    }
    return sorted(names)


def _looks_like_a_secret(declared: Field, value: str) -> bool:
    return not declared.may_repeat(value) and _LIKE_A_SECRET.search(value) is not None


@cache
def entry_form(registry_type: RegistryType) -> type[EntryForm]:
    """The ModelForm class for a type; one class each, so that the admin can use it."""
    attributes: dict[str, Any] = {"type": registry_type, "__module__": __name__}
    for declared in registry_type.fields:
        attributes[declared.name] = input_of(declared)
    name = "".join(part.title() for part in registry_type.slug.split("-")) + "Form"
    metaclass: Any = type(EntryForm)
    return metaclass(name, (EntryForm,), attributes)


def form_for(slug: str | None, otherwise: str | None = None) -> type[EntryForm]:
    """The form class for a type's slug; where it isn't one, `otherwise`'s or the first's."""
    return entry_form(BY_SLUG.get(slug or "") or BY_SLUG.get(otherwise or "") or first())


def requested_form(
    request: HttpRequest,
    organization: Organization,
    entry: RegistryEntry | None = None,
    copy: RegistryEntry | None = None,
) -> EntryForm:
    """The form as the request wants it: of which type, with which fields.

    Bound on Save; «Show its fields» keeps what was typed, without errors or secrets.
    A new entry may begin as a copy of another, all but its secret.
    """
    filled = entry or copy
    standing = filled.registry_type if filled else None
    form_class = form_for(request.POST.get("registry_type") or request.GET.get("type"), standing)
    chosen: dict[str, Any] = {"organization": organization, "replace": "replace" in request.GET}
    if entry is not None:
        chosen["instance"] = entry
    if request.method == "POST" and "show_fields" not in request.POST:
        return form_class(request.POST, request.FILES, **chosen)
    if entry is None:
        chosen["initial"] = {"patterns": pasted.texts(request.GET.get("pattern", ""))}
    form = form_class(**chosen)
    if copy is not None and request.method != "POST":
        form.fill_in(copy)
        form.initial.update(note=copy.note, enabled=copy.enabled)
    if request.method == "POST":
        form.keep(request.POST, request.FILES)
    return form

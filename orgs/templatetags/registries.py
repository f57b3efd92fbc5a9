"""How things look everywhere: images and patterns, states, times, what is wrong in a form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms, template
from django.contrib.messages.storage.base import Message
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from orgs import zones
from orgs.models import RegistryEntry, RunRow, User
from orgs.registries import codes, pattern_help
from orgs.registries import ends as ends_on
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.images import looks_like_host
from orgs.registries.patterns import readable
from orgs.registries.problems import Problem
from orgs.registries.types import RegistryType
from orgs.services.audit.bounded import Some
from orgs.services.audit.log import ACTIONS
from orgs.services.entries import offered
from orgs.services.entries.attention import OLD, has_old_key, is_ending, is_unused, today
from orgs.services.verification.verifying import Result, Step

from .moments import age, ago, ends, exact

register = template.Library()

_BREAK = mark_safe("<wbr>")
_STAR = mark_safe('<span class="wild">*</span>')


# --- images and patterns ------------------------------------------------------


@register.filter
def image(text: object) -> SafeString:
    """An image or pattern: host and tag muted, path strong, `*` coloured, breaks at `/`; or
    the id of what has none."""
    written = str(text)
    first, slash, rest = written.partition("/")
    host, path = (first, rest) if slash and looks_like_host(first) else ("", written)
    path, colon, tag = path.partition(":")
    *before, last = path.split("/")
    parts = [("host", _host(f"{host}/"))] if host else []
    parts += [("path", _starred(f"{part}/")) for part in before]
    if last == "*" and parts:  # alone on a line of its own it tells nothing
        kind, html = parts.pop()
        parts.append((kind, f'{html}<span class="path">{_STAR}</span>'))
    else:
        parts.append(("path", _starred(last)))
    parts += [("tag", escape(f"{colon}{tag}"))] if colon else []
    # Put together by hand: a list has hundreds of these, and `format_html` looks at each of
    # their parts several times.
    shown = "".join(f'<span class="part {kind}">{html}</span>' for kind, html in parts)
    return mark_safe(f'<code class="image">{shown}</code>')  # noqa: S308 - all of it is escaped


def _host(host: str) -> str:
    """Escaped. Too long for a phone's line; there it breaks at dots rather than anywhere."""
    return _starred(host).replace(".", f".{_BREAK}")


def _starred(text: str) -> str:
    """Escaped, which makes neither `*` nor dots."""
    return escape(text).replace("*", _STAR)


@register.filter
def entry_image(entry: RegistryEntry) -> str:
    """An image that the entry's first pattern serves, for `valohai.yaml`."""
    kind = BY_SLUG.get(entry.registry_type)
    for pattern in readable(entry.pattern_texts):
        host = kind.example_host(pattern) if kind else ""
        if found := pattern_help.example_image(pattern, host):
            return found
    return ""


@register.filter
def example_image(pattern: str) -> str:
    """An image that the pattern serves; "" where none can be told."""
    return next(map(pattern_help.example_image, readable([pattern])), "")


@register.filter
def type_label(slug: str) -> str:
    found = BY_SLUG.get(slug)
    return found.label if found else slug


@register.filter
def type_short(slug: str) -> str:
    """The type in two or three words, for lists; its own page has the label."""
    found = BY_SLUG.get(slug)
    return found.short_label if found else slug


@register.filter
def thousands(number: int) -> str:
    """“5,003”."""
    return f"{number:,}"


@register.filter
def counted(number: int, words: str) -> str:
    """“5,003 entries”, “1 entry”, of "entry,entries"."""
    one, many = words.split(",")
    return f"{number:,} {one if number == 1 else many}"


@register.simple_tag
def type_groups() -> list[tuple[str, list[RegistryType]]]:
    """What registry types stand under, and those, in the order that people see."""
    return list(offered.groups().items())


@register.filter
def breakable(code: str) -> SafeString:
    """A code that may be broken behind its underscores."""
    return mark_safe(escape(code).replace("_", f"_{_BREAK}"))  # noqa: S308


@register.filter
def not_here(kind: RegistryType) -> str:
    """Why the type can't work on this server yet; "" where it can."""
    return offered.not_here(kind)


@register.filter
def happened(action: str) -> str:
    """What an event's action is called."""
    return ACTIONS.get(action, action)


@register.filter
def says(code: str) -> str:
    """What the table says of a code; "" where it's of a former version."""
    return codes.of(code).says if codes.known(code) else ""


@register.filter
def and_more(found: Some[Any]) -> str:
    """What a list leaves out, said below it."""
    return f"and {'more than ' if found.uncounted else ''}{found.more:,} more"


@register.filter
def to_ask(people: list[User]) -> SafeString:
    """Their names, as one says them, each leading to a mail; «staff» where there is none."""
    names = [
        format_html('<a href="mailto:{}">{}</a>', person.email, person.name or person.email)
        for person in people
    ]
    if len(names) > 1:
        names[-2:] = [format_html("{} or {}", *names[-2:])]
    return (
        format_html_join(", ", "{}", ((name,) for name in names)) if names else mark_safe("staff")
    )


# --- verification ---------------------------------------------------------------

_STEPS = {"login": "Login obtained", "registry": "Registry answers", "image": "Image readable"}
_RESULTS: dict[str, str] = {
    Result.OK: "done",
    Result.FAILED: "failed",
    Result.NOT_CHECKED: "not checked",
}


@register.filter
def step_title(step: Step) -> str:
    return _STEPS.get(step.name, step.name)


@register.filter
def step_word(step: Step) -> str:
    return _RESULTS.get(step.result, step.result)


@register.filter
def is_outage(step: Step) -> bool:
    """Whether it failed for something that passes by itself, and nobody refused anything."""
    known = step.result == Result.FAILED and codes.known(step.code)
    return known and codes.of(step.code).kind is codes.Kind.TRANSIENT


@register.filter
def mended_by_policy(step: Step, entry: RegistryEntry) -> bool:
    """Whether what to do about it is to attach the policy that the page shows."""
    kind = BY_SLUG.get(entry.registry_type)
    return kind is not None and step.fix == kind.denied_fixes.get(step.code)


# What marks a message that has «Undo» beside it (templates/_messages.html), before the request
# that is undone.
UNDO = "undo:"


@register.filter
def undone_by(message: Message) -> str:
    """The request whose disabling a message offers to undo; "" for all others."""
    tags = message.extra_tags or ""
    return tags.removeprefix(UNDO) if tags.startswith(UNDO) else ""


# --- states -------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    name: str
    shape: str
    word: str


_STATES: dict[str, State] = {
    RegistryEntry.Status.VERIFIED: State("ok", "●", "Verified"),
    RegistryEntry.Status.FAILING: State("bad", "▲", "Failing"),
    RegistryEntry.Status.UNVERIFIED: State("open", "○", "Not verified"),
    RegistryEntry.Status.WAITING: State("open", "◌", "Waiting for trust"),
    RegistryEntry.Status.UNREADABLE: State("bad", "✕", "Secret unreadable"),
}
# The shape for both; whether a login was obtained depends on the type.
_UNREACHABLE = State("warn", "◑", "Login works, registry unreachable")
_UNREACHABLE_STATIC = State("warn", "◑", "Registry unreachable")
_DISABLED = State("off", "□", "Disabled")
_ON_WORKERS = State("open", "◇", "Checked on workers")


def state_of(entry: RegistryEntry) -> State:
    """What to say of an entry; some can only be checked on workers."""
    found = BY_SLUG.get(entry.registry_type)
    if not entry.enabled:
        return _DISABLED
    if entry.status == RegistryEntry.Status.UNVERIFIED and found and found.completed_on_worker:
        return _ON_WORKERS
    if entry.status == RegistryEntry.Status.UNREACHABLE:
        return _UNREACHABLE if found and found.minted else _UNREACHABLE_STATIC
    return _STATES.get(entry.status, _STATES[RegistryEntry.Status.UNVERIFIED])


@register.filter
def state(entry: RegistryEntry) -> SafeString:
    return _badge(state_of(entry))


_OLD_KEY = State("warn", "◆", "Key over 90 days")
_UNUSED = State("warn", "▽", "Unused for 90 days")


@register.filter
def hygiene(entry: RegistryEntry) -> SafeString:
    """What stands out beside the state: an old key, a long time without use."""
    before = timezone.now() - OLD
    day = today()
    found = []
    if entry.secret_expires_on and is_ending(entry, day):
        over = entry.secret_expires_on < day
        words = ends_on.short(entry.secret_expires_on, day)
        found.append(State("bad" if over else "warn", "◆", words))
    found += [_OLD_KEY] if has_old_key(entry, before) else []
    found += [_UNUSED] if is_unused(entry, before) else []
    return format_html_join(" ", "{}", ((_badge(state),) for state in found))


@register.filter
def secret_end(entry: RegistryEntry) -> str:
    """“Secret ends in 9 days”; "" where nobody said when."""
    day = entry.secret_expires_on
    return ends_on.short(day, today()) if day else ""


def _badge(found: State) -> SafeString:
    return format_html(
        '<span class="state state-{}"><span aria-hidden="true">{}</span> {}</span>',
        found.name,
        found.shape,
        found.word,
    )


_ROWS = {
    RunRow.Result.OK: _STATES[RegistryEntry.Status.VERIFIED],
    RunRow.Result.UNREACHABLE: _UNREACHABLE_STATIC,
    RunRow.Result.FAILED: _STATES[RegistryEntry.Status.FAILING],
    RunRow.Result.NOT_CHECKED: State("open", "–", "Not checked"),
    RunRow.Result.ENABLED: State("ok", "✓", "Enabled"),
    RunRow.Result.DISABLED: _DISABLED,
    RunRow.Result.SAME: State("open", "–", "So already"),
    RunRow.Result.REFUSED: State("bad", "✕", "Refused"),
    RunRow.Result.GONE: State("open", "–", "Deleted meanwhile"),
}


@register.filter
def row_state(row: RunRow) -> SafeString:
    """What came of one of a run's, or of those that came out alike."""
    return _badge(_ROWS[RunRow.Result(row.result)])


@register.filter
def status_word(entry: RegistryEntry) -> str:
    """The state within a sentence."""
    return state_of(entry).word.lower()


# --- times --------------------------------------------------------------------

for _filter in (ago, age, exact, ends):
    register.filter(_filter)


@register.simple_tag
def days_in() -> str:
    """The zone that a page's days are days of: the reader's."""
    return zones.of_reader().key


# --- forms --------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """One thing to mend: where in the page, the sentence, the entry in the way; `brief` says
    it where the sentence stands elsewhere."""

    target: str
    sentence: str
    brief: str
    entry_id: str | None = None


@dataclass(frozen=True)
class Summary:
    """What the top of a page says of a form's errors: how many there are, and (target,
    words) of each, what is said twice of a field only once."""

    count: int
    lines: list[tuple[str, str]]


@register.filter
def summary(form: forms.BaseForm) -> Summary:
    """All errors of a form in the order of its fields, those of the whole first."""
    found = [mistake for name in ["__all__", *form.fields] for mistake in _of(form, name)]
    times = Counter((mistake.target, mistake.brief) for mistake in found)
    return Summary(len(found), [(target, _times(brief, n)) for (target, brief), n in times.items()])


def _times(words: str, count: int) -> str:
    return words if count == 1 else f"{words}, {'twice' if count == 2 else f'{count:,} times'}"


@register.filter
def mistakes_here(field: forms.BoundField) -> list[Mistake]:
    return list(_of(field.form, field.name))


def _of(form: forms.BaseForm, name: str) -> Iterator[Mistake]:
    found = form.errors.get(name)
    for error in found.as_data() if found else []:
        standing = error.code == "duplicate_pattern" and getattr(error, "suggestion", None)
        for message in error.messages:
            brief = _brief(form, name, error.code) or message
            yield Mistake(_target(form, name), message, brief, standing or None)


def _brief(form: forms.BaseForm, name: str, code: str | None) -> str:
    """“Match pattern: a tag in the pattern”; "" where there is no place for the whole
    sentence but here, or no short word for it."""
    if name not in form.fields or form[name].is_hidden:
        return ""
    phrase = codes.phrase(code)
    return f"{form[name].label}: {phrase}" if phrase else ""


def _target(form: forms.BaseForm, name: str) -> str:
    """The id of the field, or of the first one for what concerns the whole form, or of the
    page's content where it has none."""
    if not form.fields:
        return "content"
    field = form[name] if name in form.fields else form[next(iter(form.fields))]
    return field.id_for_label or f"{field.auto_id}_0"


@register.filter
def whose(entry: RegistryEntry) -> list[tuple[str, str]]:
    """(label, value) of what was read out of the entry's secret, for who may change it."""
    kind = BY_SLUG.get(entry.registry_type)
    known = kind.derived_of(entry.config) if kind else {}
    return [(f.label, known[f.name]) for f in kind.derived if known.get(f.name)] if kind else []


@register.filter
def told_at(problem: Problem, entry: RegistryEntry) -> str:
    """What people call the field that a problem is of."""
    kind = BY_SLUG.get(entry.registry_type)
    labels = {f.name: f.label for f in kind.fields} if kind else {}
    return labels.get(problem.field or "", "Match pattern")

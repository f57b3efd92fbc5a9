"""Bulk import: all rows of a file validated, then all written, or none.

`plan` tells what `apply` would do; both read the file from its beginning, so that
what is held of it stays small. What is right for a row is decided where it is for
a single entry: `services.checking`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from orgs.models import Environment, Organization, RegistryEntry
from orgs.registries.problems import Problem, Refused
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.validating import (
    Examined,
    examine,
    holds_for_all,
    secret_problems,
    site_problems,
)

from .files.columns import ENABLED, ENVIRONMENTS, PATTERN, CellError
from .files.rows import BrokenFile, Row, broken
from .reading import RowSpec, SpecReader
from .standing import Standing, chunks, claims_of, key_of

CHUNK = 500  # rows looked up and written together
MAX_PLACES = 20_000  # of those, patterns in each of their environments
PLACES_A_ROW = 5  # on average, where the rows are limited
MAX_CANDIDATES = 20  # entries with the same patterns that a row is compared with
MAX_TOLD = 10_000  # errors; where there are more, the rest isn't looked at
MAX_REMARKS = 100  # different ones; of more, nothing is told
# Where one of these is wrong, which entry a row means can't be told.
_IDENTIFYING = frozenset({PATTERN, ENVIRONMENTS, ENABLED})

Kind: TypeAlias = Literal["created", "updated", "unchanged", "refused"]
Refusing: TypeAlias = Callable[[RowSpec, Mapping[str, Environment]], object]


@dataclass(frozen=True)
class Outcome:
    """What becomes of one row; `changes` are the columns that differ from what stands.

    `pattern` is "" where it can't be shown.
    """

    row: int
    pattern: str
    kind: Kind
    changes: Sequence[str] = ()


@dataclass
class Remark:
    """What was made of some rows, for whoever imports them to know; no error."""

    sentence: str
    first: int
    rows: int = 1

    def __str__(self) -> str:
        others = f"{self.rows:,} rows, the first of them row {self.first:,}"
        return f"{others if self.rows > 1 else f'Row {self.first:,}'}: {self.sentence}"


@dataclass
class Report:
    """What became, or would become, of a file's rows.

    `written` only after an `apply` that wrote; with any error nothing is. `untold`
    counts the errors beyond the first `MAX_TOLD`, `untried` the keys that replace others
    without having been tried (docs/decisions/0016). Equal `fingerprint`s mean that the same
    is done to the same.
    """

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: list[CellError] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    untold: int = 0
    untried: int = 0
    fingerprint: str = ""
    written: bool = False

    def refuse(self, errors: Sequence[CellError]) -> None:
        room = MAX_TOLD - len(self.errors)
        self.errors += errors[:room]
        self.untold += len(errors[room:])

    def end(self, errors: Sequence[CellError]) -> None:
        """Tell of where reading ended, also after `MAX_TOLD` others."""
        room = max(0, MAX_TOLD - len(errors))
        self.untold += len(self.errors[room:])
        self.errors = [*self.errors[:room], *errors]

    def remark(self, row: Row) -> Row:
        """Note what is remarked of a row, the same once."""
        for sentence in row.remarks:
            known = next((r for r in self.remarks if r.sentence == sentence), None)
            if known is not None:
                known.rows += 1
            elif len(self.remarks) < MAX_REMARKS:
                self.remarks.append(Remark(sentence, row.number))
        return row

    @property
    def advice(self) -> str:
        """What to do about the keys that weren't tried; "" where there are none."""
        if not self.untried:
            return ""
        if self.untried == 1:
            return "1 key replaces another untried: verify its entry afterwards."
        return f"{self.untried:,} keys replace others untried: verify their entries afterwards."

    def refuse_row(self, row: RowSpec) -> None:
        """Tell of a row; with `MAX_TOLD` told already, only its errors' number is known."""
        before = len(self.errors)
        if before < MAX_TOLD and row.refusals:
            self.errors += row.errors()[: MAX_TOLD - before]
        self.untold += len(row.refusals) - (len(self.errors) - before)


def counts(report: Report) -> str:
    """“12 new, 3 changed, 40 unchanged.”, and what to do afterwards, if anything."""
    told = f"{report.created:,} new, {report.updated:,} changed, {report.unchanged:,} unchanged."
    return f"{told} {report.advice}".strip()


@dataclass(frozen=True)
class _Judged:
    row_spec: RowSpec
    entry: RegistryEntry | None
    outcome: Outcome
    changes: dict[str, Any]


class _Undo(Exception):
    """Leaves the transaction without its effects."""


def plan(
    *,
    organization: Organization,
    rows: Iterable[Row],
    update: bool = False,
    limit: int | None = None,
    on_row: Callable[[Outcome], object] = lambda outcome: None,
    on_refused: Refusing | None = None,
) -> Report:
    """What `apply` would do; writes nothing.

    `rows` can be gone through more than once, as `files.Rows` can. More than `limit`
    are an error. Each row's outcome goes to `on_row` as soon as it's known; a row that is
    refused, with the organization's environments by slug, to `on_refused`.
    """
    report = Report()
    for _ in _run(report, organization, rows, update, limit, on_row, on_refused):
        pass
    return report


def apply(
    *,
    organization: Organization,
    actor: Actor,
    rows: Iterable[Row],
    update: bool = False,
    limit: int | None = None,
    on_row: Callable[[Outcome], object] = lambda outcome: None,
    expected: str | None = None,
) -> Report:
    """Write the whole file in one transaction, or nothing and tell why.

    With `expected`, the fingerprint of a plan, nothing is written either where
    something else would be done than planned.
    """
    report = Report()
    try:
        with door.one_by_one(organization):
            for judged in _run(report, organization, rows, update, limit, on_row):
                if not report.errors:
                    _write(organization, actor, judged)
            if not report.errors and expected not in (None, report.fingerprint):
                report.refuse([_changed_meanwhile()])
            if report.errors:
                raise _Undo
    except _Undo:
        return report
    report.written = True
    return report


def _run(
    report: Report,
    organization: Organization,
    rows: Iterable[Row],
    update: bool,
    limit: int | None,
    on_row: Callable[[Outcome], object],
    on_refused: Refusing | None = None,
) -> Iterator[list[_Judged]]:
    """Judge the rows, a chunk at a time, filling in the report."""
    judge = _Judge(organization, update, limit)
    digest = hashlib.sha256()
    try:
        remarked = map(report.remark, _limited(rows, limit))
        for some in chunks(map(judge.reader.read, remarked), CHUNK):
            chunk = judge.all(some)
            for judged in chunk:
                report.rows += 1
                kind = judged.outcome.kind
                setattr(report, kind, getattr(report, kind) + 1)
                report.refuse_row(judged.row_spec)
                if on_refused and kind == "refused":
                    on_refused(judged.row_spec, judge.reader.environments)
                report.untried += kind == "updated" and _replaces_a_key(judged)
                if kind != "refused":
                    entry = judged.entry.pk if judged.entry else ""
                    digest.update(f"{report.rows} {kind} {entry} {judged.changes}\n".encode())
                on_row(judged.outcome)
            if report.untold:
                raise _too_many_errors(chunk[-1].row_spec.row)
            yield chunk
    except BrokenFile as found:
        report.end(found.errors)
    report.fingerprint = digest.hexdigest()


def _replaces_a_key(judged: _Judged) -> bool:
    valid = judged.row_spec.found and judged.row_spec.found.valid
    kept_type = "secret" in judged.changes and "type" not in judged.changes
    return bool(kept_type and valid and valid.type.minted and judged.row_spec.spec.enabled)


def _limited(rows: Iterable[Row], limit: int | None) -> Iterator[Row]:
    for count, row in enumerate(rows):
        if count == limit:
            what = f"The file has more than {limit:,} rows."
            raise broken("too_many_rows", what, "Split it.", row.number)
        yield row


def _write(organization: Organization, actor: Actor, chunk: Sequence[_Judged]) -> None:
    new, changed = [], {}
    for judged in chunk:
        found = judged.row_spec.found
        if found is None or found.valid is None:
            raise AssertionError("A row without errors is valid.")
        if judged.outcome.kind == "created":
            new.append((judged.row_spec.spec, found.valid))
        elif judged.entry is not None and judged.changes:
            changed[judged.entry.pk] = (judged.row_spec.spec, found.valid, judged.changes)
    door.write_new(organization, actor, new)
    for entry in door.locked(list(changed)) if changed else []:
        door.write_change(entry, actor, *changed[entry.pk])


class _Judge:
    """Says of each row what becomes of it, in the file's order."""

    def __init__(self, organization: Organization, update: bool, limit: int | None) -> None:
        self.standing = Standing(organization)
        places = None if limit is None else limit * PLACES_A_ROW
        self.reader = SpecReader(self.standing.environments, places)
        self.update = update
        # Entries that an earlier row changes; no other row may mean them too.
        self.claimed: set[object] = set()

    def all(self, rows: Sequence[RowSpec]) -> list[_Judged]:
        judged: list[_Judged] = []
        for row_spec in self._together(rows):
            self.standing.look_up([(d.found.patterns, d.spec) for d in row_spec if d.found])
            judged += [self.one(row) for row in row_spec]
        return judged

    def _together(self, rows: Sequence[RowSpec]) -> Iterator[list[RowSpec]]:
        """The rows, no more at once than name `MAX_PLACES` patterns in an environment, but
        for a single one."""
        some: list[RowSpec] = []
        count = 0
        for row in rows:
            places = len(row.spec.patterns) * max(1, len(row.spec.environments))
            if some and count + places > MAX_PLACES:
                yield some
                some, count = [], 0
            some.append(row)
            count += places
        yield some

    def one(self, row: RowSpec) -> _Judged:
        entry: RegistryEntry | None = None
        changes: dict[str, Any] = {}
        if row.found is not None:
            if not self._may_stand(row):
                row.refuse(*row.found.problems)
            # Where these are wrong, which entry is meant can't be told.
            told = row.wrong.isdisjoint(_IDENTIFYING)
            if told:
                try:
                    entry, changes = self._beside_what_stands(row)
                except Refused as refused:
                    row.refuse(*refused.problems)
                    told = False
            found = _beside(row, entry)
            row = replace(row, found=found)
            row.refuse(*found.problems, *site_problems(row.spec, found, entry))
            if told:  # of another entry than is meant the secret may well be kept
                row.refuse(*secret_problems(row.spec, found, entry))
        kind: Kind = "unchanged"
        if row.refusals:
            kind = "refused"
        elif entry is None:
            kind = "created"
        elif changes:
            kind = "updated"
            self.claimed.add(entry.pk)
        shown = "" if PATTERN in row.wrong else " ".join(row.spec.patterns)
        outcome = Outcome(row.row, shown, kind, _columns(row, changes))
        return _Judged(row, entry, outcome, changes)

    def _may_stand(self, row: RowSpec) -> bool:
        """Whether there are entries with just these patterns, which may have what is wrong
        with the row already."""
        patterns = row.found.patterns if row.found else []
        return bool(self.standing.candidates(key_of(patterns, row.spec)))

    def _beside_what_stands(self, row: RowSpec) -> tuple[RegistryEntry | None, dict[str, Any]]:
        """The entry that the row means and what it would change there, or None."""
        patterns, spec = row.found.patterns if row.found else [], row.spec
        claims = claims_of(patterns, spec)
        earlier = self.standing.row_with(claims)
        if spec.enabled and earlier is not None:
            row.refuse(_duplicate_row(earlier))
        entry, changes = self._find(row, earlier)
        if spec.enabled:
            self.standing.take(row.row, claims)
            if earlier is None and (entry is None or not entry.enabled):
                row.refuse(*self.standing.conflicts(patterns, claims, entry))
        if changes and not self.update:
            row.refuse(_needs_update(_columns(row, changes)))
        return entry, changes

    def _find(
        self, row: RowSpec, earlier: int | None
    ) -> tuple[RegistryEntry | None, dict[str, Any]]:
        if row.found is None:
            return None, {}
        spec = row.spec

        def changes(entry: RegistryEntry) -> dict[str, Any]:
            valid = _beside(row, entry).valid
            return door.changes(entry, spec, valid) if valid else {}

        candidates = [
            entry
            for entry in self.standing.candidates(key_of(row.found.patterns, spec))
            if entry.pk not in self.claimed
        ]
        if len(candidates) > MAX_CANDIDATES:
            raise Refused(_ambiguous(len(candidates)))
        same = [entry for entry in candidates if entry.enabled == spec.enabled]
        for entry in same:
            if not (found := changes(entry)) or len(candidates) == 1:
                return entry, found
        # Beside an enabled row for a pattern, a disabled one isn't about the same entry.
        if not same and (spec.enabled or earlier is None):
            same = candidates
        if len(same) > 1:
            raise Refused(_ambiguous(len(same)))
        if not same:
            return None, {}
        return same[0], changes(same[0])


def _beside(row: RowSpec, entry: RegistryEntry | None) -> Examined:
    """What is right in the row where it's for the entry."""
    if row.found is None:
        raise AssertionError("A row that wasn't read is for no entry.")
    if entry is None or holds_for_all(row.spec, row.found):
        return row.found
    return examine(row.spec, entry)


def _columns(row: RowSpec, changes: dict[str, Any]) -> list[str]:
    """The columns of what an event tells as changed."""
    columns = []
    for name, change in changes.items():
        if name == "configuration":
            before, after = change
            columns += [key for key in {**before, **after} if before.get(key) != after.get(key)]
        elif name == "secret":
            columns += [secret for secret, value in row.spec.secrets.items() if value]
        else:
            columns.append(PATTERN if name == "patterns" else name)
    return columns


def _duplicate_row(earlier: int) -> Problem:
    return Problem(
        "duplicate_row",
        f"Row {earlier} has such a pattern already, in the same environments.",
        "Keep one of the two rows, or limit them to different environments.",
        PATTERN,
    )


def _needs_update(columns: Sequence[str]) -> Problem:
    return Problem(
        "needs_update",
        f"An entry with this pattern stands already, and differs in {', '.join(columns)}.",
        "Allow updates (“Update entries that differ”, or --update) to change it, or leave it out.",
        PATTERN,
    )


def _ambiguous(count: int) -> Problem:
    return Problem(
        "ambiguous_entry",
        f"{count} disabled entries have this pattern, so which one is meant can't be told.",
        "Delete all but one of them first, or change the one you mean on its page.",
        PATTERN,
    )


def _too_many_errors(row: int) -> BrokenFile:
    what = f"There are more than {MAX_TOLD:,} errors, so what follows wasn't looked at."
    return broken("too_many_errors", what, "Mend these first.", row)


def _changed_meanwhile() -> CellError:
    what = "Registries were changed since the file was checked, so something else would be done."
    return CellError(None, "", "", "changed_meanwhile", what, "Check the file again.")

"""Every code that a person, the API, a worker or the audit log is told, in one table.

What isn't here can't be raised: `Problem` and `Failed` ask for it as they are made. A
registry type may bring codes of its own (`RegistryType.codes`), which `catalogue` adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Kind(Enum):
    """Whose doing it is, and so whether asking again may help."""

    TRANSIENT = "passes by itself: asking again later may help"
    REFUSED = "the provider refuses the login: asking again without a change won't help"
    BEYOND_LOGIN = "the registry refuses what comes after the login"
    NEITHER = "neither"


class Worker(Enum):
    """What a worker's programs do with it (CONTRACT «On a worker»); each value ends the
    sentence «The worker …»."""

    OLDER_COPY = "uses an older copy that hasn't expired"
    DELETES = "deletes its copy and fails"
    ANONYMOUS = "deletes its copy and pulls anonymously"
    FAILS = "fails, its copy stays"
    NEVER = "is never told"


class Page(Enum):
    """Where a person sees it."""

    FIELD = "at its field, in the form or the file's report"
    OVERVIEW = "among the organization's last refused logins"
    AUDIT = "in the audit log"
    ENTRY = "on the entry's page"
    NONE = "nowhere but in the answer"


ISSUED, LOGIN = "login.issued", "login.refused"
TOKEN, REPORT = "token.refused", "login.reported"
VERIFIED, SIGN_IN = "entry.verified", "user.sign_in_refused"
"""The audit log's actions that have a code's event."""


@dataclass(frozen=True)
class Code:
    """`says` is one short sentence for people. `status` is the answer's, None where no
    server tells it. `event` is the action of the event that it leaves where it is met, ""
    for none; a verification leaves its own, whatever the code. `field` codes come by the
    field they belong to, in forms, files and the API alike; `verifying` ones only of
    verifying an entry or looking at its images."""

    says: str
    status: int | None
    kind: Kind = Kind.NEITHER
    event: str = ""
    worker: Worker = Worker.NEVER
    field: bool = False
    verifying: bool = False

    @property
    def answered(self) -> bool:
        """Whether it may be the API's whole answer, and not only be told by field."""
        if self.status is None or self.event == SIGN_IN:
            return False
        # What isn't 400 is never told by field.
        return not self.field or self.worker is not Worker.NEVER or self.status != 400

    @property
    def page(self) -> Page:
        if self.event in _PAGES:
            return _PAGES[self.event]
        if self.worker is Worker.NEVER and self.field:
            return Page.FIELD
        return Page.ENTRY if self.verifying else Page.NONE


_PAGES = {
    **{LOGIN: Page.OVERVIEW, TOKEN: Page.AUDIT, SIGN_IN: Page.FIELD},
    **{REPORT: Page.ENTRY, VERIFIED: Page.ENTRY},
}


class UnknownCode(LookupError):
    """A code that isn't in the table."""


def field(says: str) -> Code:
    """What is wrong with something that was given, told where it was given."""
    return Code(says, 400, field=True)


def login(
    status: int, says: str, kind: Kind = Kind.NEITHER, worker: Worker = Worker.DELETES
) -> Code:
    """Why a worker gets no login."""
    return Code(says, status, kind, LOGIN, worker)


def passing(says: str) -> Code:
    """Why the provider gives no login right now."""
    return login(503, says, Kind.TRANSIENT, Worker.OLDER_COPY)


def checking(says: str, kind: Kind = Kind.NEITHER) -> Code:
    """What only verifying an entry finds."""
    return Code(says, 422, kind, VERIFIED, verifying=True)


def unchecked(says: str, status: int) -> Code:
    """Why an entry isn't verified, or its images aren't shown."""
    return Code(says, status, verifying=True)


def reported(says: str, worker: Worker = Worker.FAILS) -> Code:
    """What a worker meets that completes an instance role, and reports."""
    return Code(says, None, event=REPORT, worker=worker)


def on_worker(says: str, worker: Worker = Worker.FAILS) -> Code:
    """What a worker's programs find out by themselves, and tell there alone."""
    return Code(says, None, worker=worker)


def signing_in(says: str, status: int) -> Code:
    """Why nobody is signed in; told by the page of signing in."""
    return Code(says, status, event=SIGN_IN)


OURS: Mapping[str, Code] = MappingProxyType(
    {
        # --- no login: CONTRACT's table of statuses, by status -------------------------
        "invalid_request": Code("The request isn't what the API takes.", 400, worker=Worker.FAILS),
        "invalid_image": Code(
            "This isn't an image reference.", 400, worker=Worker.FAILS, field=True
        ),
        # Its event: where the token is deleted while its worker waits. Else nobody is known.
        "not_authenticated": login(401, "There is no valid token in the request."),
        "token_expired": Code("The token has ended.", 401, event=TOKEN, worker=Worker.DELETES),
        "token_revoked": Code("The token has ended.", 401, event=TOKEN, worker=Worker.DELETES),
        "personal_project": login(
            403, "The project is personal, and personal projects can't use private registries."
        ),
        "environment_not_allowed": login(
            403, "The token is bound to another environment, or may not name one."
        ),
        "project_not_found": login(
            404,
            "There is no such project, or it's another organization's, archived, or made up.",
        ),
        "environment_not_found": Code(
            "The organization has no such environment.",
            404,
            Kind.NEITHER,
            LOGIN,
            Worker.DELETES,
            field=True,
        ),
        "no_match": login(
            404,
            "No enabled entry of the organization serves the image.",
            worker=Worker.ANONYMOUS,
        ),
        "entry_unusable": login(
            409,
            "The stored secret can't be opened with this server's keys, or the entry is "
            "incomplete.",
        ),
        "ambiguous_server": login(409, "Asked with a host only, and several entries stand on it."),
        # The login was given, and its event is that of one.
        "instance_role_format": Code(
            "The login is an instance role's, which only a worker can complete.",
            409,
            event=ISSUED,
            worker=Worker.DELETES,
        ),
        "too_large": Code("The request is larger than any of its kind.", 413, worker=Worker.FAILS),
        "access_denied": login(
            422,
            "AWS accepts the key, but its user may not call the action it names.",
            Kind.REFUSED,
        ),
        "invalid_key": login(
            422,
            "AWS doesn't know the key, or it's inactive; or the account hasn't enabled the region.",
            Kind.REFUSED,
        ),
        "signature_mismatch": login(
            422, "AWS knows the key, but this secret isn't its own.", Kind.REFUSED
        ),
        "rate_limited": Code("The token asks too often.", 429, worker=Worker.OLDER_COPY),
        "server_error": Code(
            "The server met an error of its own, and has logged it.",
            500,
            worker=Worker.OLDER_COPY,
        ),
        "registry_unreachable": passing("The registry didn't answer in time."),
        "throttled": passing("AWS ECR answers too many requests of this account already."),
        "clock_skew": passing(
            "This server's clock differs from AWS's by minutes, so AWS refuses its requests."
        ),
        # These two have no event: one says «ask again», the other that none can be written.
        "busy": Code(
            "Many workers ask for this login at once, and it is being obtained.",
            503,
            worker=Worker.OLDER_COPY,
        ),
        "audit_unavailable": Code(
            "The event couldn't be written, so no login was given.",
            503,
            worker=Worker.OLDER_COPY,
        ),
        # --- the API's other answers ------------------------------------------------------
        "admins_only": Code("Only org admins may do this.", 403),
        "not_found": Code(
            "There is nothing at this address, or the token doesn't reach it.",
            404,
            worker=Worker.DELETES,
        ),
        "entry_not_found": Code("No such entry serves the token's workers.", 404),
        "method_not_allowed": Code(
            "The address doesn't answer to this method.", 405, worker=Worker.FAILS
        ),
        # --- on a worker ------------------------------------------------------------------
        "role_not_attached": reported("This instance doesn't have the role."),
        "role_access_denied": reported("The role may not obtain a login."),
        "not_on_ec2": reported(
            "This machine can't reach EC2 instance metadata.", Worker.OLDER_COPY
        ),
        "metadata_hop_limit": reported(
            "The metadata's answer doesn't get into the container.", Worker.OLDER_COPY
        ),
        "unsupported_source": on_worker("The process's AWS identity isn't an instance role."),
        "botocore_missing": on_worker("Completing an instance role needs botocore."),
        "server_unreachable": on_worker("The server can't be reached.", Worker.OLDER_COPY),
        "server_untrusted": on_worker("The server's certificate isn't trusted.", Worker.OLDER_COPY),
        "answer_refused": on_worker("The server's answer can't be one of its own."),
        "not_configured": on_worker("What the program needs to know isn't set, or isn't whole."),
        "not_implemented": on_worker("Logins are obtained, never stored."),
        "one_login_a_host": on_worker("Docker keeps one login a host, and several are wanted."),
        "internal_error": on_worker("The program met an error of its own."),
        # --- verifying, and an entry's images --------------------------------------------
        "login_refused": checking("The registry doesn't accept the login.", Kind.BEYOND_LOGIN),
        "image_denied": checking("The login may not read the image.", Kind.BEYOND_LOGIN),
        "not_a_registry": checking(
            "The host answers, but not as a registry does.", Kind.BEYOND_LOGIN
        ),
        "redirected": checking(
            "The host leads elsewhere, and credentials aren't taken along.", Kind.BEYOND_LOGIN
        ),
        "hostile_realm": checking("The host wants the login sent to one not known as its own."),
        "unsafe_address": checking("The host leads to an address that isn't asked."),
        "image_not_found": checking("The registry has no such image."),
        "image_not_readable": checking("The registry says that the image isn't there, or barred."),
        "listing_denied": unchecked("The login may pull, but not list.", 422),
        "entry_changed": unchecked("The entry was changed while it was checked.", 409),
        "checked_on_workers": unchecked("Only workers see whether this entry works.", 409),
        "disabled": unchecked("The entry is disabled.", 409),
        "made_up": unchecked("The organization is made up, and nothing of it is real.", 409),
        "image_elsewhere": field("The entry doesn't serve this image."),
        "repository_shape": field("This isn't the name of a repository."),
        # --- fields of an entry: CONTRACT's field codes, then ours ------------------------
        "bare_host": field("The pattern names a registry, but no images."),
        "scheme_in_pattern": field("Patterns have no scheme."),
        "tag_in_pattern": field("Patterns match repositories, not tags."),
        "lookalike_host": field("The host resembles the registry's, but isn't one."),
        "region_mismatch": field("The pattern's host is in another region."),
        "partition_mismatch": field("The pattern's host is in another AWS partition."),
        "duplicate_pattern": field("Another enabled entry has this pattern already."),
        "key_id_shape": field("This isn't an Access Key ID."),
        "temporary_key": field("The key is temporary and will expire."),
        "secret_shape": field("The secret isn't of the right form."),
        "secret_required": field("The secret has to be entered again."),
        "wildcard_host": field("This type's patterns name their host in full."),
        "not_a_registry_host": field("The host is a web site's, and no registry's."),
        "unknown_type": field("There is no such registry type."),
        "unknown_version": field("There is no such version of the configuration."),
        "invalid_pattern": field("This isn't a match pattern."),
        "ecr_host": field("The host is Amazon ECR's, which has types of its own."),
        "username_shape": field("The username isn't of the right form."),
        "role_name_shape": field("This isn't the name of a role."),
        "region_shape": field("This isn't an AWS region."),
        "short_lived_password": field("The login ends within hours."),
        "too_many_wildcards": field("Too many patterns with a wildcard begin like this."),
        "owner_fixed": field("An entry's organization never changes."),
        "patterns_disagree": field("image_pattern and image_patterns disagree."),
        "unknown_field": field("The type has no such field."),
        # --- any text ---------------------------------------------------------------------
        "required": field("This is required."),
        "invalid": field("This isn't of the right form."),
        "not_text": field("This isn't text."),
        "control_character": field("A character in it can't be stored."),
        "too_long": field("This is too long."),
        "too_many": field("There are too many."),
        "not_sealed": field("A secret came here unsealed."),
        # --- files ------------------------------------------------------------------------
        "ambiguous_entry": field("Several entries may be meant."),
        "duplicate_row": field("Another row is for the same entry."),
        "needs_update": field("The entry stands already, and differs."),
        "formula_error": field("The cell's formula gives no value."),
        "not_a_boolean": field("This is neither true nor false."),
        "field_of_other_type": field("The field belongs to another type."),
        "duplicate_column": field("The column stands twice."),
        "unknown_column": field("There is no such column."),
        "not_an_entry": field("This isn't an entry."),
        "too_deep": field("The file is nested too deep."),
        "too_many_blank_rows": field("The file has too many blank rows."),
        "unknown_format": field("The file is of no known format."),
        "invalid_yaml": field("The file isn't a valohai.yaml."),
        "no_header": field("No row names the columns."),
        "missing_column": field("A column is missing."),
        "too_many_columns": field("The file has too many columns."),
        "too_many_rows": field("The file has too many rows."),
        "too_many_cells": field("The file has too many cells."),
        "too_many_places": field("The file's patterns and environments are too many together."),
        "too_many_errors": field("The file has more errors than are told."),
        "too_much_work": field("The file takes too long to read."),
        "unreadable_file": field("The file can't be read."),
        "wrong_encoding": field("Which letters the file has can't be told."),
        "password_elsewhere": field("The password isn't in the file: a helper keeps it."),
        "broken_quotes": field("A quote in the file isn't closed."),
        "not_a_list": field("The file doesn't hold a list of entries."),
        "yaml_alias": field("The file has aliases, which aren't read."),
        "yaml_tag": field("The file has tags, which aren't read."),
        "changed_meanwhile": Code("It was changed meanwhile.", 409),
        # --- organizations, people and their tokens ----------------------------------------
        "already_a_member": field("This person is a member already."),
        "already_invited": field("This address is invited already."),
        "invited_another": field("The invitation is for another address."),
        "invitation_over": field("The invitation is over."),
        "link_over": field("The link was used a moment ago."),
        "has_account": field("The address has an account."),
        "unverified_email": field("Nobody showed that the address is theirs."),
        "not_an_admin": field("You're no org admin any more."),
        "no_mail": field("The server sends no mail."),
        "no_personal_projects": field("An organization of theirs wants no personal projects."),
        "mfa_needed": Code("Org admins need two-step sign-in there.", 403, field=True),
        "superusers_only": field("Only superusers may do this."),
        "only_way_in": field("There is no other way in."),
        "not_a_member": field("This person is no member."),
        "last_admin": field("An organization keeps at least one admin."),
        "unknown_person": field("There is nobody with this e-mail."),
        "duplicate_slug": field("The short name is taken."),
        "invalid_slug": field("This can't be a short name."),
        "environment_in_use": field("Entries or tokens still use the environment."),
        "one_owner": field("A project has one owner."),
        "invalid_name": field("This can't be a name."),
        "invalid_expiry": field("A token can't expire then."),
        "two_reaches": field("A token has one reach."),
        # --- signing in ---------------------------------------------------------------------
        "wrong_password": signing_in("No account has this e-mail and password.", 200),
        "account_paused": signing_in("Too many wrong passwords for this account.", 429),
        "wrong_code": signing_in("The code isn't right, or was used.", 200),
        "codes_paused": signing_in("Too many wrong codes for this account.", 429),
        "wrong_passkey": signing_in("The passkey isn't one of this account.", 200),
        "second_step_unreadable": signing_in("The server's keys don't open the second step.", 200),
        "address_paused": signing_in("Too many wrong passwords from this address.", 429),
        "company_cancelled": signing_in("The sign-in at the company was broken off.", 200),
        "company_away": signing_in("The company's sign-in doesn't answer.", 503),
        "company_wrong_answer": signing_in("What came from the company can't be believed.", 403),
        "company_no_email": signing_in("The company names no e-mail that can be used.", 403),
        "company_unverified": signing_in("The company doesn't say that it's verified.", 403),
        "company_account_unverified": signing_in("Nobody showed that the address is theirs.", 403),
        "company_other_account": signing_in("The account is connected to another one.", 403),
        "company_not_invited": signing_in("Nobody here has invited this address.", 403),
    }
)

_FURTHER: list[Callable[[], Mapping[str, Code]]] = []


def also(further: Callable[[], Mapping[str, Code]]) -> None:
    """Add codes to the table: those that `further` gives whenever it is asked."""
    _FURTHER.append(further)


def table() -> dict[str, Code]:
    """All of them; where a type's own has the name of one of ours, ours counts."""
    return {code: row for further in _FURTHER for code, row in further().items()} | dict(OURS)


def of(code: str) -> Code:
    """What the table says of a code; raises `UnknownCode`."""
    row = OURS.get(code) or next(
        (own[code] for further in _FURTHER if code in (own := further())), None
    )
    if row is None:
        raise UnknownCode(f"{code!r} isn't in the table of codes.")
    return row


def known(code: str | None) -> bool:
    """Whether it is in the table: what was stored may be of a former version, or of a type
    that is gone."""
    return code in OURS or any(code in further() for further in _FURTHER)


def of_kind(kind: Kind) -> Iterator[str]:
    return (code for code, row in table().items() if row.kind is kind)

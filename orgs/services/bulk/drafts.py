"""Import files between preview and confirmation: sealed, and gone after 15 minutes.

What is held is the file itself, so that confirming does what the preview told of
this file and of no other one.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models.functions import Now

from orgs import sealed
from orgs.models import ImportDraft, Organization, Run, User
from orgs.services.audit.clock import database_now

from .files.rows import MAX_BYTES
from .grouping import Corrected

LIFE = timedelta(minutes=15)


def draft_store(
    *,
    organization: Organization,
    user: User,
    file_name: str,
    format: str,
    content: bytes,
    update: bool,
    corrected: Sequence[Corrected] = (),
) -> ImportDraft:
    """Keep a file, and what was corrected in it; the person's earlier one in this
    organization is dropped."""
    expire()
    draft = ImportDraft(
        id=uuid4(),
        organization=organization,
        user=user,
        file_name=file_name[-200:],
        format=format,
        update=update,
        created_at=database_now(),
    )
    # Packed first: tables shrink to a tenth, and sealing adds a third twice.
    text = _packed(content)
    if corrected:
        text += "." + _packed(json.dumps([astuple(one) for one in corrected]).encode())
    draft.content = sealed.seal(text, draft.sealed_for)
    with transaction.atomic():
        # The person's row is the lock: two tabs may send at the same moment.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _of(organization, user).delete()
        draft.save(force_insert=True)
    return draft


def draft_load(
    *, organization: Organization, user: User, draft_id: UUID
) -> tuple[ImportDraft, bytes] | None:
    """The person's own draft, with its corrections, and its file; None once it has
    expired, was imported, or another file took its place."""
    expire()
    draft = _of(organization, user).filter(pk=draft_id).first()
    return None if draft is None else _opened(draft)


def hold(draft: ImportDraft, run: Run) -> None:
    """Have it wait for the run that imports it; its person may bring another meanwhile."""
    ImportDraft.objects.filter(pk=draft.pk).update(run=run)


def held_by(run: Run) -> tuple[ImportDraft, bytes] | None:
    """What a run imports; None where it's gone."""
    draft = ImportDraft.objects.select_related("organization").filter(run=run).first()
    return None if draft is None else _opened(draft)


def let_go(draft: ImportDraft) -> None:
    """Give it back to its person, to look at for another quarter of an hour; an older one,
    where they brought another meanwhile, is dropped."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=draft.user_id).first()
        if _of(draft.organization, draft.user).exists():
            draft_discard(draft)
        else:
            ImportDraft.objects.filter(pk=draft.pk).update(run=None, created_at=Now())


def _opened(draft: ImportDraft) -> tuple[ImportDraft, bytes] | None:
    try:
        text = draft.content.reveal(draft.sealed_for)
    except sealed.Unreadable:
        # Sealed under a key that is gone: as good as expired.
        draft.delete()
        return None
    content, _, corrected = text.partition(".")
    if corrected:
        draft.corrected = [Corrected(*one) for one in json.loads(_unpacked(corrected))]
    return draft, _unpacked(content)


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 1)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompressobj().decompress(base64.b64decode(text), MAX_BYTES)


def draft_discard(draft: ImportDraft) -> None:
    """Erase a draft that is done with."""
    ImportDraft.objects.filter(pk=draft.pk).delete()


def expire() -> int:
    """Erase every draft past its time, whoever's; how many went."""
    late = ImportDraft.objects.filter(created_at__lte=Now() - LIFE, run=None)
    # Looked for first: a DELETE waits for SQLite's only writer even if it finds nothing.
    return late.delete()[0] if late.exists() else 0


def _of(organization: Organization, user: User):
    return ImportDraft.objects.filter(organization=organization, user=user, run=None)

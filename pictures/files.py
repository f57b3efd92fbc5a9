"""Files that the pictures show being imported and checked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from orgs.models import ImportDraft, Organization
from orgs.services.bulk import drafts

from .hosts import HOST, IMAGE, KEY_ID, NORTH, SECRET

if TYPE_CHECKING:
    from .cast import Cast

GOOD_FILE = f"""image_pattern,type,access_key_id,secret_access_key,role_name,note
{HOST}/research/*,aws-ecr,{KEY_ID},{SECRET},,of the research team
{NORTH}/train/*,aws-ecr-role,,,ValohaiWorkerRole,
{HOST}/old-*,aws-ecr,{KEY_ID},,,Kept for the 2024 models
"""
BAD_FILE = f"""image_pattern,type,access_key_id,secret_access_key,role_name,region
{HOST},aws-ecr,{KEY_ID},{SECRET},,
{HOST}/train:v1,aws-ecr,{KEY_ID},{SECRET},,
{HOST}/serve:v1,aws-ecr,{KEY_ID},{SECRET},,
{HOST}/label:2024,aws-ecr,{KEY_ID},{SECRET},,
{HOST}/clean:latest,aws-ecr,{KEY_ID},{SECRET},,
{NORTH}/train/*,aws-ecr-role,,,ValohaiWorkerRole,us-east-1
123456789012.dkr.ecr.us-east-1.amazonaws.com.example.com/*,aws-ecr,{KEY_ID},{SECRET},,
"""
VALOHAI_YAML = f"""- step:
    name: preprocess
    image: python:3.12
    command: python preprocess.py
- step:
    name: train
    image: {IMAGE}
    command: python train.py
- step:
    name: report
    image: 999999999999.dkr.ecr.us-east-1.amazonaws.com/report:v2
    command: python report.py
- step:
    name: publish
    image: {HOST}/Publish
    command: python publish.py
"""


def fill(cast: Cast, acme: Organization) -> None:
    for name, who, content in (
        ("draft-good", "alice", GOOD_FILE),
        ("draft-bad", "erin", BAD_FILE),
        ("draft-staff", "staff", GOOD_FILE),
    ):
        draft = drafts.draft_store(
            organization=acme,
            user=cast.people[who],
            file_name="entries.csv",
            format="csv",
            content=content.encode(),
            update=True,
        )
        cast.named[name] = draft.pk
    cast.arguments["draft_id"] = cast.named["draft-good"]
    # Taking every page lasts longer than a preview lives, and this one is to be seen whole.
    ImportDraft.objects.update(created_at=Now() + timedelta(days=1))

"""An IAM user's access key, as every type of AWS's that has one takes it."""

from __future__ import annotations

from collections.abc import Mapping

from . import aws
from .problems import Failed, Problem
from .types import Blanks, Field, Other, Shape

_SHOWN_ONCE = "Copy the 40 characters that AWS showed when the key was made."
_SECRET_SHAPE = Shape(
    r"[A-Za-z0-9/+=]{40}",
    "secret_shape",
    "This isn't a Secret Access Key: {odd}.",
    _SHOWN_ONCE,
    length=40,
    others=(
        Other(
            r"A[A-Z]IA[A-Z0-9]{16}",
            "This isn't a Secret Access Key but an Access Key ID.",
            f"Enter it above. {_SHOWN_ONCE}",
        ),
        # Docs of SES, «Obtaining SMTP credentials»: base64 of a version byte and 32 others.
        Other(
            r"[A-Za-z0-9/+]{43}[A-Za-z0-9/+=]",
            "This isn't a Secret Access Key: 44 characters, which is the length of an SES "
            "password.",
            "An SES password only sends mail. Make an access key for the IAM user, and copy the "
            "40 characters of its secret.",
        ),
    ),
)
_TWICE = Problem(
    "secret_shape",
    "The same stands under Access Key ID, so at most one of the two is right.",
    _SHOWN_ONCE,
    "secret_access_key",
)


def _id_of(prefix: str, kind: str) -> Other:
    """What IAM gives an id of its own (IAM user guide, «Unique identifiers»)."""
    return Other(
        rf"(?i:{prefix}[A-Z0-9]{{12,124}})",
        f"This is the ID of {kind}, not of an access key.",
        "Copy the Access key ID from the IAM user's Security credentials; it begins with AKIA.",
    )


_FROM_CREDENTIALS = "Copy it from the IAM user's Security credentials; it begins with AKIA."
_KEY_ID_SHAPE = Shape(
    r"(?!AKIA)[A-Z0-9_]{16,128}|AKIA[A-Z0-9]{16}",
    "key_id_shape",
    "This isn't an Access Key ID: {odd}.",
    _FROM_CREDENTIALS,
    length=20,
    others=(
        Other(
            r"(?=.*[/+a-z])(?![a-z0-9]{40})[A-Za-z0-9/+]{40}",
            "This looks like a Secret Access Key.",
            "Enter the Access Key ID here, which begins with AKIA, and the secret below.",
        ),
        Other(
            r"(?i:ASIA[A-Z0-9_]{12,124})",
            "This key is temporary and will expire.",
            "Use one that begins with AKIA.",
            code="temporary_key",
        ),
        _id_of("AIDA", "an IAM user"),
        _id_of("AROA", "a role"),
        _id_of("AGPA", "a group of users"),
        _id_of("AIPA", "an instance profile"),
        _id_of("AN[PV]A", "a policy"),
        _id_of("APKA", "a public key"),
        _id_of("ASCA", "a certificate"),
        _id_of("ABIA", "a bearer token"),
        _id_of("ACCA", "a credential for one service"),
        Other(
            r"(?=.*[a-z])(?i:AKIA[A-Z0-9]{16})",
            "Access Key IDs are written in capital letters, and this has small ones.",
            _FROM_CREDENTIALS,
        ),
        Other(
            r"arn:aws[a-z-]{0,20}:[!-~]{1,200}",
            "This is an ARN, not an Access Key ID.",
            _FROM_CREDENTIALS,
        ),
        Other(
            r"[0-9]{12}|[0-9]{4}-[0-9]{4}-[0-9]{4}",
            "This is the number of an AWS account, not an Access Key ID.",
            _FROM_CREDENTIALS,
        ),
    ),
)


KEY_ID_FIELD = Field(
    name="access_key_id",
    label="Access Key ID",
    help="Of an IAM user who may read the repositories; begins with AKIA.",
    example="AKIAIOSFODNN7EXAMPLE",
    hidden_from_members=True,
    missing="Enter the IAM user's key ID.",
    shape=_KEY_ID_SHAPE,
    max_length=128,
    blanks=Blanks.DROPPED,
    echo=r"A[A-Z]{3}[A-Z0-9]{12,28}",
    pasted_as=("AWS_ACCESS_KEY_ID", "AccessKeyId", "Access key", "Key ID"),
)
SECRET_FIELD = Field(
    name="secret_access_key",
    label="Secret Access Key",
    help="Shown by AWS once, when the key is made. It's stored sealed and never shown.",
    secret=True,
    shape=_SECRET_SHAPE,
    max_length=200,
    paired_with="access_key_id",
    blanks=Blanks.DROPPED,
    pasted_as=("AWS_SECRET_ACCESS_KEY", "SecretAccessKey", "Secret key", "AWS_SECRET_KEY"),
)


def given_twice(config: Mapping[str, str], secrets: Mapping[str, str]) -> list[Problem]:
    """The problem of a secret that stands in both fields."""
    secret = secrets.get("secret_access_key", "")
    twice = secret == config["access_key_id"] and bool(_SECRET_SHAPE.fits(secret))
    return [_TWICE] if twice else []


def key_of(config: Mapping[str, str], secrets: Mapping[str, str]) -> aws.Key:
    """The key to sign with, no part of it empty: with an empty one AWS's libraries
    would look for another around them. Raises `Failed` entry_unusable."""
    key_id, secret = config.get("access_key_id"), secrets.get("secret_access_key")
    if not key_id or not secret:
        raise Failed(
            "entry_unusable", "The entry has no complete key.", "Enter key and secret again."
        )
    return aws.Key(key_id, secret)

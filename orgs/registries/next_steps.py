"""What to do about each code that the API tells, in one sentence, beside what it means.

Answers say it with the names filled in; here it's for the page and the guide, which list
codes. A type's own codes have theirs in what the answer says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# As a whole answer: those that the guide of operators lists too, in the same words.
ANSWERED: Mapping[str, str] = MappingProxyType(
    {
        "invalid_request": "Compare it with `/api/v0/openapi.json`.",
        "invalid_image": "Write it as in `docker pull`.",
        "not_authenticated": "Send a worker token; for managing entries, a person's API token.",
        "token_expired": "Issue another, and set up with it what sends it.",
        "token_revoked": "Issue another, and set up with it what sends it.",
        "personal_project": "Move it to an organization, or use a public image.",
        "environment_not_allowed": "Use that environment's token.",
        "project_not_found": "Check the id under *Projects*.",
        "environment_not_found": "Check its short name under *Environments*.",
        "no_match": "If it's private, add an entry; public images need none.",
        "entry_unusable": "Enter the secret again, or put the former key back last in "
        "`FERNET_KEYS`.",
        "ambiguous_server": "Ask with the image; on workers, set `VALOHAI_IMAGE`.",
        "instance_role_format": "Use the worker's helper.",
        "too_large": "Send less.",
        "access_denied": "Attach the policy, wait a few seconds, and verify again.",
        "invalid_key": "Check it under the IAM user's Security credentials, then enter it again.",
        "signature_mismatch": "Replace the secret; if it's lost, create a new key in IAM.",
        "rate_limited": "Ask less often: keep a login until its `refresh_at`.",
        "server_error": "Try again; if it stays, look into the log.",
        "registry_unreachable": "Wait; if it lasts, check this server's way to it.",
        "throttled": "Wait: it is asked again by itself.",
        "clock_skew": "Set the server's clock (NTP).",
        "busy": "Ask again after `Retry-After`; the worker's helper does by itself.",
        "audit_unavailable": "Check the database, its disk above all.",
        "not_found": "Compare the address with `/api/v0/openapi.json`, and its id with what the "
        "token reaches.",
        "method_not_allowed": "Use the method that `/api/v0/openapi.json` names.",
        # Of managing entries, and of what workers report.
        "admins_only": "Ask an org admin, or use an org admin's token.",
        "mfa_needed": "Whoever the token is of sets up two-step sign-in under *Your account*.",
        "entry_not_found": "Report for the entry that the login named.",
        "changed_meanwhile": "Read it again, and change that.",
    }
)

# By field, of an entry that is sent.
BY_FIELD: Mapping[str, str] = MappingProxyType(
    {
        "bare_host": "Add `/*` to cover everything in it.",
        "scheme_in_pattern": "Leave out what stands before the host.",
        "tag_in_pattern": "Leave the tag out: every tag is covered.",
        "lookalike_host": "Correct the host, or choose the type of what really runs there.",
        "region_mismatch": "Give the host's region, or correct the host.",
        "partition_mismatch": "Give a region of the host's partition, or correct the host.",
        "duplicate_pattern": "Change that entry, choose other environments, or disable it first.",
        "key_id_shape": "Give the Access Key ID as AWS shows it.",
        "temporary_key": "Give a key that begins with `AKIA`.",
        "secret_shape": "Copy the secret in full, and only it.",
        "secret_required": "Send the secret along: what it belongs to changed.",
        "wildcard_host": "Write the host in full.",
        "not_a_registry_host": "Name the host that images are pulled from.",
        "unknown_type": "Give a slug of the registry types.",
        "unknown_version": 'Give `"version": "1"`, or leave it out.',
        "invalid_pattern": "Write it as the message shows.",
        "ecr_host": "Use a type for Amazon ECR.",
        "username_shape": "Give the username as the registry has it.",
        "role_name_shape": "Give the role's name alone, without its path.",
        "region_shape": "Give a region such as `us-east-1`.",
        "short_lived_password": "Give a username and password that stay.",
        "too_many_wildcards": "Put more before the first `*`, or join some of them.",
        "owner_fixed": "Create one in the other organization, and delete this.",
        "patterns_disagree": "Give one of the two.",
        "unknown_field": "Give the fields of the type.",
        "environment_not_found": "Give slugs of the organization's environments.",
        "required": "Give it.",
        "invalid": "Give it in the form that this page names.",
        "not_text": "Give a string.",
        "control_character": "Leave that character out.",
        "too_long": "Shorten it.",
        "too_many": "Give fewer.",
    }
)


def answered(code: str) -> str:
    return ANSWERED.get(code, "Do as its `detail` says.")


def by_field(code: str) -> str:
    return BY_FIELD.get(code, "Do as its `message` says.")

"""What is wrong with an entry, with any text, or found as an entry is verified."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .row import Code, Kind, checking, field, unchecked

CODES: Mapping[str, Code] = MappingProxyType(
    {
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
        "image_elsewhere": field(
            "The entry doesn't serve this image.", short="not an image of this entry"
        ),
        "repository_shape": field(
            "This isn't the name of a repository.", short="not a repository's name"
        ),
        # --- fields of an entry: CONTRACT's field codes, then ours ------------------------
        "bare_host": field(
            "The pattern names a registry, but no images.",
            short="a host without a path",
            certain=True,
            fix_at_field="Add `/*` to cover everything in it.",
        ),
        "scheme_in_pattern": field(
            "Patterns have no scheme.",
            short="a scheme before the host",
            certain=True,
            fix_at_field="Leave out what stands before the host.",
        ),
        "tag_in_pattern": field(
            "Patterns match repositories, not tags.",
            short="a tag in the pattern",
            certain=True,
            fix_at_field="Leave the tag out: every tag is covered.",
        ),
        "lookalike_host": field(
            "The host resembles the registry's, but isn't one.",
            short="not a host of this type",
            fix_at_field="Correct the host, or choose the type of what really runs there.",
        ),
        "region_mismatch": field(
            "The pattern's host is in another region.",
            short="not the pattern's region",
            fix_at_field="Give the host's region, or correct the host.",
        ),
        "partition_mismatch": field(
            "The pattern's host is in another AWS partition.",
            short="not the pattern's partition",
            fix_at_field="Give a region of the host's partition, or correct the host.",
        ),
        "duplicate_pattern": field(
            "Another enabled entry has this pattern already.",
            short="taken by another entry",
            fix_at_field="Change that entry, choose other environments, or disable it first.",
        ),
        "key_id_shape": field(
            "This isn't an Access Key ID.",
            short="not an Access Key ID",
            fix_at_field="Give the Access Key ID as AWS shows it.",
        ),
        "temporary_key": field(
            "The key is temporary and will expire.",
            short="a temporary key",
            fix_at_field="Give a key that begins with `AKIA`.",
        ),
        "secret_shape": field(
            "The secret isn't of the right form.",
            short="not of the right form",
            fix_at_field="Copy the secret in full, and only it.",
        ),
        "secret_required": field(
            "The secret has to be entered again.",
            short="the secret is missing",
            fix_at_field="Send the secret along: what it belongs to changed.",
        ),
        "wildcard_host": field(
            "This type's patterns name their host in full.",
            short="a wildcard for the host",
            fix_at_field="Write the host in full.",
        ),
        "not_a_registry_host": field(
            "The host is a web site's, and no registry's.",
            short="a web site, not a registry",
            fix_at_field="Name the host that images are pulled from.",
        ),
        "unknown_type": field(
            "There is no such registry type.",
            short="no such type",
            fix_at_field="Give a slug of the registry types.",
        ),
        "unknown_version": field(
            "There is no such version of the configuration.",
            short="no such version",
            fix_at_field='Give `"version": "1"`, or leave it out.',
        ),
        "invalid_pattern": field(
            "This isn't a match pattern.",
            short="not a match pattern",
            certain=True,
            fix_at_field="Write it as the message shows.",
        ),
        "ecr_host": field(
            "The host is Amazon ECR's, which has types of its own.",
            short="a host of Amazon ECR",
            fix_at_field="Use a type for Amazon ECR.",
        ),
        "guid_shape": field(
            "This isn't an ID of Azure's.",
            short="not an ID of Azure's",
            fix_at_field="Give 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12.",
        ),
        "authority_shape": field(
            "This isn't a certificate.",
            short="not a certificate",
            fix_at_field="Give the authority's certificate as a PEM.",
        ),
        "authority_ended": field(
            "The certificate has ended.",
            short="ended",
            fix_at_field="Give the one that follows it.",
        ),
        "username_shape": field(
            "The username isn't of the right form.",
            short="not a username",
            fix_at_field="Give the username as the registry has it.",
        ),
        "role_name_shape": field(
            "This isn't the name of a role.",
            short="not a role's name",
            fix_at_field="Give the role's name alone, without its path.",
        ),
        "role_arn_shape": field(
            "This isn't the ARN of a role.",
            short="not a role's ARN",
            fix_at_field="Copy the ARN from the role's page in IAM.",
        ),
        "needs_role": field("This needs a role.", short="needs a role"),
        "region_shape": field(
            "This isn't an AWS region.",
            short="not an AWS region",
            fix_at_field="Give a region such as `us-east-1`.",
        ),
        "short_lived_password": field(
            "The login ends within hours.",
            short="ends within hours",
            fix_at_field="Give a username and password that stay.",
        ),
        "too_many_wildcards": field(
            "Too many patterns with a wildcard begin like this.",
            short="too many wildcards like it",
            fix_at_field="Put more before the first `*`, or join some of them.",
        ),
        "owner_fixed": field(
            "An entry's organization never changes.",
            short="never changes",
            fix_at_field="Create one in the other organization, and delete this.",
        ),
        "patterns_disagree": field(
            "image_pattern and image_patterns disagree.",
            short="two that disagree",
            fix_at_field="Give one of the two.",
        ),
        "unknown_field": field(
            "The type has no such field.",
            short="not a field of the type",
            fix_at_field="Give the fields of the type.",
        ),
        "invalid_day": field(
            "This isn't a day.",
            short="not a day",
            fix_at_field="Give it as `YYYY-MM-DD`.",
        ),
        "day_over": field(
            "The day is over.",
            short="a day that is over",
            fix_at_field="Give the day on which the secret ends, or none.",
        ),
        "no_secret": field(
            "The type has no secret that could end.",
            short="a type without a secret",
            fix_at_field="Leave it out.",
        ),
        # --- any text ---------------------------------------------------------------------
        "required": field("This is required.", short="empty", fix_at_field="Give it."),
        "invalid": field(
            "This isn't of the right form.",
            short="not of the right form",
            fix_at_field="Give it in the form that this page names.",
        ),
        "not_text": field("This isn't text.", short="not text", fix_at_field="Give a string."),
        "control_character": field(
            "A character in it can't be stored.",
            short="a character that can't be stored",
            fix_at_field="Leave that character out.",
        ),
        "too_long": field("This is too long.", short="too long", fix_at_field="Shorten it."),
        "too_many": field("There are too many.", short="too many", fix_at_field="Give fewer."),
        "not_sealed": field("A secret came here unsealed.", short="not sealed"),
    }
)

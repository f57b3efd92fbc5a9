"""Whose policy denies, as AWS's sentence of a denial ends with it.

The forms are those of IAM's «Troubleshoot access denied error messages»: «because no
<kind of policy> allows the <action> action», or «with an explicit deny in a <kind of
policy>», newer ones with the policy's ARN behind. An Allow of the user's own mends one of
them only. AWS's text itself never travels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]{1,40}:[A-Za-z]{1,80})")
_KINDS = (
    "identity-based policy",
    "resource-based policy",
    "permissions boundary",
    "session policy",
    "service control policy",
    "resource control policy",
    "VPC endpoint policy",
)
_KIND = "|".join(_KINDS)
_CAUSE = re.compile(
    rf"because no ({_KIND}) allows|with an (explicit deny)(?: in an? ({_KIND}))?", re.IGNORECASE
)
_MOST = 4_000  # characters looked at


@dataclass(frozen=True)
class Denial:
    """`action` is what was asked for, "" where AWS doesn't say; `kind` the kind of policy
    that denies, in lower case, "" for unknown; `explicit` where a Deny stands in it, and not
    only no Allow."""

    action: str
    kind: str
    explicit: bool

    @property
    def mended_by_allowing(self) -> bool:
        """Whether the user's own policy may mend it, for all that is known."""
        return self.kind in {"", "identity-based policy"} and not self.explicit

    @property
    def why(self) -> str:
        """Whose it is, as the end of a sentence that says what isn't allowed; "" where
        that's all there is to say."""
        return _WHY.get((self.kind, self.explicit), "")

    def fix(self, attach: str) -> str:
        """What to do; `attach` where the user's own policy mends it."""
        if self.kind == "" and not self.explicit:
            return f"{attach} {_UNKNOWN}"
        return attach if self.mended_by_allowing else _FIXES[self.kind, self.explicit]


def denial(text: str) -> Denial:
    """What AWS's sentence tells."""
    looked = text[:_MOST]
    found, cause = _ACTION.search(looked), _CAUSE.search(looked)
    action = found[1] if found else ""
    if cause is None:
        return Denial(action, "", False)
    kind, explicit = (cause[1] or cause[3] or "").lower(), bool(cause[2])
    if kind == _RESOURCE and not explicit and action.endswith(":GetAuthorizationToken"):
        kind = ""  # it is asked of no repository, so there is none whose policy could allow it
    return Denial(action, kind, explicit)


_UNKNOWN = (
    "If it has that policy already, something else denies: a Deny, its permissions boundary, or "
    "a policy of your AWS organization."
)
_OWN, _BOUNDARY, _SESSION = "identity-based policy", "permissions boundary", "session policy"
_SCP, _RCP = "service control policy", "resource control policy"
_ENDPOINT, _RESOURCE = "vpc endpoint policy", "resource-based policy"
_WHY = {
    ("", True): ": a policy denies it, and AWS doesn't say which",
    (_OWN, True): ": one of its policies denies it",
    (_BOUNDARY, False): ": its permissions boundary leaves it out",
    (_BOUNDARY, True): ": its permissions boundary denies it",
    (_SESSION, False): ": the policy of its session leaves it out",
    (_SESSION, True): ": the policy of its session denies it",
    (_SCP, False): ": a service control policy of its AWS organization leaves it out",
    (_SCP, True): ": a service control policy of its AWS organization denies it",
    (_RCP, False): ": a resource control policy of the AWS organization leaves it out",
    (_RCP, True): ": a resource control policy of the AWS organization denies it",
    (_ENDPOINT, False): ": the policy of the VPC endpoint on the way leaves it out",
    (_ENDPOINT, True): ": the policy of the VPC endpoint on the way denies it",
    (_RESOURCE, False): ": the repository's own policy leaves it out",
    (_RESOURCE, True): ": the repository's own policy denies it",
}
_BOUND = (
    "Ask whoever set the permissions boundary of that user to allow it there, or use another "
    "user: no policy of its own reaches beyond its boundary."
)
_CONTROL = (
    "Ask who administers your AWS organization to allow it for this account: nothing within the "
    "account outweighs that policy."
)
_RESOURCES = (
    "Ask who administers the AWS organization that the registry's account is in to allow it "
    "there: nothing within the account outweighs that policy."
)
_WAY = (
    "Ask whoever runs this server's network to allow it in the endpoint policy of the VPC "
    "endpoint for ECR."
)
_REPOSITORY = (
    "Ask whoever owns the repository to allow it in the repository's own policy, in the account "
    "that it is in."
)
_LIMITED = "Use the key of an IAM user of its own, which no session policy limits."
_FIXES = {
    ("", True): "Find the Deny, in the policies of that user and its groups, its permissions "
    "boundary, or those of your AWS organization: a further Allow doesn't outweigh it.",
    (_OWN, True): "Find the Deny in the policies of that user and of its groups, and except this "
    "action from it: a further Allow doesn't outweigh a Deny.",
    **{(_BOUNDARY, explicit): _BOUND for explicit in (False, True)},
    **{(_SESSION, explicit): _LIMITED for explicit in (False, True)},
    **{(_SCP, explicit): _CONTROL for explicit in (False, True)},
    **{(_RCP, explicit): _RESOURCES for explicit in (False, True)},
    **{(_ENDPOINT, explicit): _WAY for explicit in (False, True)},
    **{(_RESOURCE, explicit): _REPOSITORY for explicit in (False, True)},
}

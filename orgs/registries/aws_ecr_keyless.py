"""AWS ECR without a stored key: by a role that trusts what this server says of one entry, or by
one that this server's own identity takes with the entry's External ID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from . import aws, aws_server, aws_sts
from .asking import nobodys_subject
from .aws_roles import (
    NARROW_FIELD,
    ROLE_ARN,
    ROLE_ARN_FIELD,
    Role,
    parse_role,
    role_of,
    role_problems,
)
from .aws_sessions import ending_with, narrowing, session_name, sts
from .aws_sts import Denied, Session
from .aws_trust import by_external_id, by_identity
from .ecr_api import SERVICE, EcrApi
from .ecr_policy import ROLE_NAME, role_policy
from .ecr_type import PULL_THROUGH_FIELD, REGION_FIELD, EcrType, pulls_through
from .patterns import MatchPattern
from .private import private
from .problems import Failed, Problem
from .types import AccessPolicy, Ask, Config, DockerLogin, Provider, SetUp, Travel, Who


class _ByRole(EcrType):
    """A role in the customer's account, whose session obtains the login."""

    travel = Travel.MINTED
    login_life = "an hour"
    provider = Provider.AWS
    proves = True
    holder = "role"
    fields = (ROLE_ARN_FIELD, REGION_FIELD, NARROW_FIELD, PULL_THROUGH_FIELD)
    denied_fixes = {
        "access_denied": "Set the role up as shown below, wait a few seconds, and verify again.",
        "image_denied": "Attach the policy below to that role, wait a few seconds, and verify "
        "again; a repository of another account must allow it in its own policy too.",
    }

    def clean_own(
        self, config: dict[str, str], secrets: dict[str, str], patterns: Sequence[MatchPattern]
    ) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
        config, problems = self.with_region(config, patterns)
        return config, secrets, problems + role_problems(config, config["region"])

    def policy(self, config: Config, patterns: Sequence[MatchPattern]) -> AccessPolicy:
        role = parse_role(config.get(ROLE_ARN, ""))
        name, region = role.name if role else "", config.get("region", "")
        found = role_policy(patterns, name, region, pull_through=pulls_through(config))
        if role is not None:
            return found
        later = "The commands that make the role come with the entry's page, once it's saved."
        notes = tuple(note for note in found.notes if ROLE_NAME not in note)
        return replace(found, attach_to="the entry's role", command="", notes=(later, *notes))

    def prepare(self) -> None:
        aws.prepare(SERVICE)
        aws.prepare(aws_sts.SERVICE)

    def login(self, config: Config, secrets: Config, ask: Ask) -> DockerLogin:
        host = self.require_own_host(config, ask.host)
        session = self.session(config, ask, policy=narrowing(config, host, ask))
        return ending_with(session, self.api(session.key, config, ask).login())

    def lister(self, config: Config, secrets: Config, ask: Ask) -> EcrApi:
        self.require_own_host(config, ask.host)
        return self.api(self.session(config, ask, policy="").key, config, ask)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        """A session of the role; raises `Failed`."""
        raise NotImplementedError


class AwsEcrOidc(_ByRole):
    """A role that trusts what this server signs of one entry."""

    slug = "aws-ecr-oidc"
    label = "AWS ECR (OIDC federation, no key)"
    short_label = "ECR, no key"
    summary = (
        "A role of yours that trusts this entry: no key to keep, hand out or rotate, for workers "
        "anywhere."
    )
    trusts_issuer = True

    def audience(self, config: Config, patterns: Sequence[MatchPattern]) -> str:
        return aws_sts.AUDIENCE

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return by_identity(config, patterns, who)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        identity, stranger = ask.identity, ask.stranger
        assert identity is not None and stranger is not None, "only an entry has one"
        role, name, api = role_of(config), session_name(ask), sts(None, config, ask)

        def taken() -> Session:
            return api.with_identity(role, name, identity(aws_sts.AUDIENCE), policy=policy)

        def by_a_stranger() -> object:
            return api.with_identity(role, name, stranger(aws_sts.AUDIENCE))

        return _seen_to_refuse(ask, taken, by_a_stranger, told=lambda: _open_to_all(role))


class AwsEcrAssumeRole(_ByRole):
    """A role that this server's own AWS identity takes, with the entry's External ID."""

    slug = "aws-ecr-assume-role"
    label = "AWS ECR (Cross-account role)"
    short_label = "ECR, role"
    summary = (
        "A role of yours that this server takes by its own AWS identity and the entry's External "
        "ID: no key to keep, where this server runs inside AWS."
    )
    uses_own_identity = True

    def assigned(self, who: Who) -> dict[str, str]:
        return {"external_id": who.subject}

    def set_up(self, config: Config, patterns: Sequence[MatchPattern], who: Who) -> SetUp:
        return by_external_id(config, patterns, who, who.own_account)

    def session(self, config: Config, ask: Ask, *, policy: str) -> Session:
        assert ask.who is not None, "only an entry has an External ID"
        if not ask.own:
            raise Failed(
                "issuer_unreachable",
                "This server's own AWS identity isn't switched on, so it takes no roles.",
                "Ask staff to set AWS_SERVER_IDENTITY, or choose another registry type.",
                retry_after=60,
            )
        role, name, subject = role_of(config), session_name(ask), ask.who.subject
        own = aws_server.identity(ask.endpoint_url, ask.deadline)
        if refusal := _not_for(own, role):
            raise refusal  # before anything of the own identity goes there
        api = sts(own.key, config, ask, aws_server.OwnSts)

        def taken() -> Session:
            return api.with_key(role, name, external_id=subject, policy=policy)

        def without() -> object:
            return api.with_key(role, name)

        def with_another() -> object:
            return api.with_key(role, name, external_id=nobodys_subject())

        return _seen_to_refuse(ask, taken, without, with_another, told=lambda: _not_enforced(role))


def _seen_to_refuse(
    ask: Ask,
    taken: Callable[[], Session],
    *others: Callable[[], object],
    told: Callable[[], Failed],
) -> Session:
    """The session of `taken`, where it stands or is seen now that the role is refused to all
    `others`: before, and again after, since it may be opened in between. Only a plain no
    counts; a time-out is none. Raises `Failed`, `told` where one of them was let in."""
    if ask.proven:
        return taken()

    def each_is_refused() -> None:
        for other in others:
            try:
                other()
            except Denied:
                continue
            ask.proved(False)
            raise told()

    each_is_refused()
    session = taken()
    each_is_refused()
    ask.proved(True)
    return session


def _not_for(own: aws_server.Own, role: Role) -> Failed | None:
    """Why the own identity isn't used for a role at all."""
    if role.account == own.account:
        what = f"The role{private(f' {role.arn}')} is in this server's own account, which no entry "
        fix = "Enter the ARN of a role in the account of the registry."
        return Failed("identity_refused", f"{what}reaches.", fix)
    if role.partition != own.partition:
        what = f"This server is in AWS's partition {own.partition}, and reaches no role of "
        fix = "Choose OIDC federation or a key for this registry."
        return Failed("identity_refused", f"{what}{role.partition}.", fix)
    return None


def _not_enforced(role: Role) -> Failed:
    return Failed(
        "external_id_not_enforced",
        f"The role{private(f' {role.arn}')} can be taken without the entry's External ID, so an "
        "entry of somebody else's could reach it, too.",
        "Put the condition on sts:ExternalId into the role's trust policy, as shown below, "
        "wait a few seconds, and verify again.",
    )


def _open_to_all(role: Role) -> Failed:
    return Failed(
        "identity_refused",
        f"The role{private(f' {role.arn}')} trusts this server for any entry, so one of somebody "
        "else's could reach it, too.",
        "Put the condition on the entry's subject into the role's trust policy, as shown below, "
        "wait a few seconds, and verify again.",
    )

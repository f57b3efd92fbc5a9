"""A login of ECR's by a session of a role: how it's taken, narrowed, and when its login ends."""

from __future__ import annotations

from dataclasses import replace

from . import aws
from .aws_roles import Role, narrows, role_of, session_policy
from .aws_sts import Session, StsApi
from .ecr_hosts import EcrHost, parse_ecr_host
from .ecr_type import pulls_through
from .types import Ask, Config, DockerLogin

UNNAMED = "valohai-registries"  # a session that is for no entry yet


def sts(key: aws.Key | None, config: Config, ask: Ask, kind: type[StsApi] = StsApi) -> StsApi:
    """STS in the entry's region, by FIPS where the registry is asked so."""
    host = parse_ecr_host(ask.host)
    fips = host is not None and host.fips
    return kind(key, config["region"], ask.endpoint_url, fips=fips, deadline=ask.deadline)


def session_name(ask: Ask) -> str:
    """What the role's own log will call the session."""
    return (ask.who.session if ask.who else "") or UNNAMED


def taken_with(key: aws.Key, config: Config, ask: Ask, *, policy: str) -> Session:
    """A session of the entry's role, by a key that may take it; raises `Failed`."""
    return sts(key, config, ask).with_key(role_of(config), session_name(ask), policy=policy)


def narrowing(config: Config, host: EcrHost, ask: Ask) -> str:
    """The policy that holds a session to the image's repository; "" where none is to."""
    if not narrows(config) or not ask.repository:
        return ""
    return session_policy(host, ask.repository, pull_through=pulls_through(config))


def ending_with(session: Session, login: DockerLogin) -> DockerLogin:
    """No source says how long a token of a session lives on, so it ends with the session."""
    ends = login.expires_at
    return replace(login, expires_at=min(ends, session.ends) if ends else session.ends)


def taken_by_user(role: Role) -> str:
    """What else it takes where a user's key takes the role, as a sentence."""
    return (
        f"The key's user must be allowed sts:AssumeRole on {role.arn}, and the role's trust policy "
        "must name that user."
    )

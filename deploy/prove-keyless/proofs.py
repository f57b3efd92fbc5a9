"""The three proofs: what each tries, what makes it a yes or a no, and what it can't tell.

Each gives a `Verdict` or raises `Untried`. A refusal counts only beside a control that shows that
nothing else was wrong: the role opens both repositories, and a fresh login still pulls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ecr_http import Content, Registry, Untried
from kept import State

from orgs import sealed
from orgs.models import RegistryEntry, SigningKey
from orgs.outside import outside
from orgs.registries.aws_roles import NARROW, role_of, session_policy
from orgs.registries.aws_sessions import session_name
from orgs.registries.aws_sts import AUDIENCE, Session, StsApi
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.ecr_hosts import parse_ecr_host
from orgs.registries.ecr_type import EcrType, pulls_through
from orgs.registries.fields import ON
from orgs.registries.problems import Failed
from orgs.registries.types import Ask, DockerLogin
from orgs.services.identity import copies, issuer, keys, signing
from orgs.services.upstream import calls

PROVEN, REFUTED, NOT_TRIED = "proven", "refuted", "not_tried"
SESSION = 900  # seconds: the shortest that STS gives
JUST_BEFORE = 15.0  # seconds before a session's end in which a refusal may be the end's own
# What says that AWS doesn't take what this server signs, rather than that it didn't answer.
NOT_KNOWN = frozenset({"identity_refused", "issuer_unreachable"})


@dataclass(frozen=True)
class Verdict:
    """One proof's end: `result` is one of the three above, `says` sentences for people."""

    proof: str
    result: str
    says: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trial:
    """What all proofs work with. Seconds: between two looks, after a session's end when it's
    looked again, and for how long AWS is waited for to know a key."""

    entry: RegistryEntry
    host: str
    prefix: str
    tag: str
    state: State
    say: Callable[[str], None]
    every: float = 60.0
    after: tuple[float, ...] = (120.0, 600.0)
    patience: float = 1800.0

    @property
    def kind(self) -> EcrType:
        found = BY_SLUG[self.entry.registry_type]
        assert isinstance(found, EcrType)
        return found

    @property
    def named(self) -> str:
        return f"{self.prefix}/named"

    @property
    def sibling(self) -> str:
        return f"{self.prefix}/sibling"

    def ask(self, repository: str = "") -> Ask:
        deadline = time.monotonic() + calls.CALL_SECONDS
        return calls.asked(self.kind, self.host, deadline, self.entry, repository=repository)

    def login(self, repository: str = "") -> DockerLogin:
        """The product's own login of the entry, narrowed to a repository where one is given."""
        config = {name: text for name, text in self.entry.config.items() if name != NARROW}
        if repository:
            config[NARROW] = ON
        found = calls.ask_for_login(self.kind, config, {}, self.ask(repository))
        assert isinstance(found, DockerLogin)
        return found

    def session(self, ask: Ask, token: str) -> Session:
        """The shortest session of the entry's role that this JWT gets."""
        fips = "-fips" in self.host
        region, role = self.entry.config["region"], role_of(self.entry.config)
        sts = BriefSts(None, region, ask.endpoint_url, fips=fips, deadline=ask.deadline)
        with outside():
            return sts.with_identity(role, session_name(ask), token)

    def pulls(self, login: DockerLogin, content: Content) -> bool:
        """Whether a login pulls the named repository's image, manifest and blob."""
        registry = Registry(self.host, login)
        manifest = registry.opens_manifest(self.named, content)
        blob = registry.opens_blob(self.named, content)
        if manifest != blob:
            raise Untried("The registry gives one part of an image and refuses the other.")
        return manifest

    def sleep_until(self, moment: datetime) -> None:
        with outside():
            time.sleep(max(0.0, (moment - now()).total_seconds()))


class BriefSts(StsApi):
    """STS asked for the shortest session."""

    def _content(self, *given: Any) -> dict[str, str]:
        return super()._content(*given) | {"DurationSeconds": str(SESSION)}


def now() -> datetime:
    return datetime.now(UTC)


# -- (a) narrowing -----------------------------------------------------------------------


def narrowing(trial: Trial) -> Verdict:
    """ECR holds a login to the policy of the session that made it."""
    wide = Registry(trial.host, trial.login())
    named = wide.content(trial.named, trial.tag)
    sibling = wide.content(trial.sibling, trial.tag)
    narrow = Registry(trial.host, trial.login(trial.named))
    opened = {
        "named_manifest": narrow.opens_manifest(trial.named, named),
        "named_blob": narrow.opens_blob(trial.named, named),
        "sibling_manifest": narrow.opens_manifest(trial.sibling, sibling),
        "sibling_blob": narrow.opens_blob(trial.sibling, sibling),
    }
    where = parse_ecr_host(trial.host)
    assert where is not None
    policy = session_policy(where, trial.named, pull_through=pulls_through(trial.entry.config))
    facts = {"opened": opened, "session_policy_characters": len(policy)}
    if opened["sibling_manifest"] or opened["sibling_blob"]:
        says = (
            f"Refuted: a login narrowed to {trial.named} pulls from {trial.sibling}, too. ECR "
            "doesn't hold a login to the policy of the session that made it."
        )
        return Verdict("narrowing", REFUTED, says, facts)
    if not (opened["named_manifest"] and opened["named_blob"]):
        says = (
            f"Refuted: a login narrowed to {trial.named} doesn't pull from that either, although "
            "the role does. The session's policy lacks what ECR wants."
        )
        return Verdict("narrowing", REFUTED, says, facts)
    says = (
        f"Proven: a login narrowed to {trial.named} pulls from that, and is refused for "
        f"{trial.sibling}, which the same role's own login pulls from."
    )
    return Verdict("narrowing", PROVEN, says, facts)


# -- (b) a login's life after its session ------------------------------------------------


def life(trial: Trial) -> Verdict:
    """A login ends with the session that made it, and not before."""
    content = Registry(trial.host, trial.login()).content(trial.named, trial.tag)
    kept = trial.state.get("life") or _begin_life(trial, content)
    ends = datetime.fromisoformat(kept["session_ends"])
    stated = datetime.fromisoformat(kept["login_says"])
    if now() > stated:
        trial.state.drop("life")
        raise Untried("It was resumed after the login's own end, which tells nothing. Run anew.")
    login = _opened_login(trial, kept["login"])
    last = ends + timedelta(seconds=trial.after[-1])
    minutes = max(1, round((last - now()).total_seconds() / 60))
    trial.say(
        f"life: the session ends at {ends:%H:%M:%S} UTC; this waits until {last:%H:%M:%S} UTC at "
        f"most ({minutes} min). Ctrl-C is fine: the same command goes on where it was."
    )
    facts: dict[str, Any] = {
        "session_seconds": kept["seconds"],
        "login_states_seconds": kept["login_seconds"],
    }
    sure = ends - timedelta(seconds=JUST_BEFORE)
    while now() < sure:
        trial.sleep_until(min(sure, now() + timedelta(seconds=trial.every)))
        if now() < ends and not trial.pulls(login, content):
            return _died_early(trial, content, ends, facts)
    for seconds in trial.after:
        trial.sleep_until(ends + timedelta(seconds=seconds))
        late = round((now() - ends).total_seconds())
        if not trial.pulls(login, content):
            _still_pulls(trial, content)
            trial.state.drop("life")
            facts |= {"pulls_after_session": False, "refused_seconds_after": late}
            says = (
                f"Proven: the login pulled during the session and is refused {late} s after its "
                "end, while a fresh one pulls. A login ends with its session."
            )
            return Verdict("life", PROVEN, says, facts)
        trial.say(f"life: {late} s after the session's end the login still pulls.")
    trial.state.drop("life")
    facts |= {"pulls_after_session": True, "pulled_seconds_after": late}
    says = (
        f"Refuted: {late} s after the session's end the login still pulls. It may live for as "
        "long as it states, 12 hours, and not just for its session."
    )
    return Verdict("life", REFUTED, says, facts)


def _begin_life(trial: Trial, content: Content) -> dict[str, Any]:
    ask, began = trial.ask(), now()
    session = trial.session(ask, signing.signed(trial.entry, AUDIENCE))
    with outside():
        login = trial.kind.api(session.key, trial.entry.config, ask).login()
    if not trial.pulls(login, content):
        raise Untried("The login of a short session pulls nothing even at once.")
    assert login.expires_at is not None
    pair = json.dumps([login.username, login.password])
    kept = {
        "session_ends": session.ends.isoformat(),
        "seconds": round((session.ends - began).total_seconds()),
        "login_says": login.expires_at.isoformat(),
        "login_seconds": round((login.expires_at - began).total_seconds()),
        # It opens with this server's FERNET_KEYS only, and for this entry.
        "login": sealed.seal(pair, _context(trial)).token.decode(),
    }
    trial.state.put("life", kept)
    return kept


def _opened_login(trial: Trial, token: str) -> DockerLogin:
    try:
        pair = json.loads(sealed.Sealed(token.encode()).reveal(_context(trial)))
    except sealed.Unreadable:
        trial.state.drop("life")
        raise Untried("What was kept can't be opened with this server's FERNET_KEYS.") from None
    return DockerLogin(*pair, None)


def _context(trial: Trial) -> str:
    return f"prove-keyless:{trial.entry.pk}"


def _died_early(trial: Trial, content: Content, ends: datetime, facts: dict[str, Any]) -> Verdict:
    early = round((ends - now()).total_seconds())
    _still_pulls(trial, content)
    trial.state.drop("life")
    facts |= {"pulls_after_session": False, "refused_seconds_before": early}
    says = (
        f"Refuted: the login was refused {early} s before its session's end, while a fresh one "
        "pulls. This server counts on it until that end."
    )
    return Verdict("life", REFUTED, says, facts)


def _still_pulls(trial: Trial, content: Content) -> None:
    """That a refusal is the login's own fault; raises `Untried`."""
    if not trial.pulls(trial.login(), content):
        raise Untried("A fresh login is refused, too, so the refusal tells nothing. Run again.")


# -- (c) rotation ------------------------------------------------------------------------


def rotation(trial: Trial) -> Verdict:
    """A rotated signing key leaves logins working at AWS."""
    kept = trial.state.get("rotation") or _begin_rotation(trial)
    kid, published = kept["key"], datetime.fromisoformat(kept["published"])
    until = now() + timedelta(seconds=trial.patience)
    while True:
        signs = keys.signing().kid == kid
        by = None if signs else keys.coming()
        if not signs and (by is None or by.kid != kid):
            trial.state.drop("rotation")
            raise Untried("The key was dropped meanwhile. Run anew.")
        if not signs and (why := _logs_in(trial)):
            trial.state.drop("rotation")
            says = (
                "Refuted: while the next key is published, AWS refuses a login by the one that "
                f"signs: {why}"
            )
            return Verdict("rotation", REFUTED, says, _facts(kept, published))
        kept["logins"] += not signs
        if issuer.published_elsewhere() and not copies.has(kid):
            trial.say("rotation: the copy of the keys lacks the new one. Run export_issuer now.")
        elif _takes(trial, by):
            return _accepted(trial, kept, published, signs)
        elif signs:
            trial.state.drop("rotation")
            says = "Refuted: the new key signs now, and AWS refuses what it signs."
            return Verdict("rotation", REFUTED, says, _facts(kept, published))
        else:
            kept["refused"] += 1
        trial.state.put("rotation", kept)
        if now() > until:
            raise Untried(
                "AWS doesn't know the new key yet; it signs nothing for workers before its day is "
                "over. Run the same command again later, best after that day."
            )
        trial.sleep_until(now() + timedelta(seconds=min(trial.every, 15.0)))


def _begin_rotation(trial: Trial) -> dict[str, Any]:
    trial.login()  # what works after it has to work before
    coming = SigningKey.objects.filter(state=SigningKey.State.COMING).first() or keys.rotate()
    trial.say(
        f"rotation: the next key is published; it signs from {coming.signs_from:%Y-%m-%d %H:%M} "
        "UTC on. Meanwhile AWS is asked whether it takes it."
    )
    coming.refresh_from_db()
    kept = {"key": coming.kid, "published": coming.made_at.isoformat(), "refused": 0, "logins": 0}
    trial.state.put("rotation", kept)
    return kept


def _logs_in(trial: Trial) -> str:
    """Why AWS doesn't know the key that signs now; "" where the whole way works."""
    try:
        trial.login()
    except Failed as error:
        if error.code not in NOT_KNOWN:
            raise
        return str(error.problem)
    return ""


def _takes(trial: Trial, by: keys.Signer | None) -> bool:
    """Whether AWS gives a session for a JWT by this key, or by the one that signs."""
    try:
        trial.session(trial.ask(), signing.signed(trial.entry, AUDIENCE, by=by))
    except Failed as error:
        if error.code not in NOT_KNOWN:
            raise
        return False
    return True


def _accepted(trial: Trial, kept: dict[str, Any], published: datetime, signs: bool) -> Verdict:
    facts = _facts(kept, published)
    trial.state.drop("rotation")
    if not signs and (why := _logs_in(trial)):
        says = f"Refuted: AWS knows the new key and refuses the one that signs until then: {why}"
        return Verdict("rotation", REFUTED, says, facts)
    took = facts["seconds_after_publishing"]
    tries = f"after {kept['refused']} refusals" if kept["refused"] else "at the first try"
    says = (
        f"Proven: AWS takes the new key {took} s after it was published, {tries}, and each of "
        f"{kept['logins']} logins by the former one went on working meanwhile."
    )
    if signs:
        says = (
            f"Proven: the new key signs, and AWS takes it {tries}, {took} s after it was published."
        )
    return Verdict("rotation", PROVEN, says, facts)


def _facts(kept: dict[str, Any], published: datetime) -> dict[str, Any]:
    return {
        "seconds_after_publishing": round((now() - published).total_seconds()),
        "refused_before": kept["refused"],
        "logins_meanwhile": kept["logins"],
        "published_before_signing_seconds": round(keys.BEFORE.total_seconds()),
    }

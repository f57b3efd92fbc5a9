"""Links that people ask for themselves: a new password, another e-mail.

None is stored: each is made of who asks, what stands now, and SECRET_KEY, so that what it
changes ends it. Asking takes as long, and says the same, whoever has an account.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from orgs import stored
from orgs.models import AuditEvent, User
from orgs.registries.problems import Problem, Refused
from orgs.services.audit import repeats
from orgs.services.audit.events import Actor

from . import attempts, mails, people, tallies
from .mails import Mail
from .told import events, tell

HOUR = timedelta(hours=1)
LIFE = timedelta(days=1)
# Mails that somebody may have sent to an address, and from theirs.
TO_ONE, FROM_ONE, OWN = 3, 20, 5
_SALT = "orgs.email_link"


# --- a new password -------------------------------------------------------------


def password_link_ask(*, email: str, address: str | None) -> None:
    """Have a link sent to whoever has this e-mail; nothing where nobody has, or too often.

    Both do the same work, and the mail leaves after the answer.
    """
    email = email.strip().lower()
    account, source = attempts.account_of(email), attempts.source_of(address)
    within = tallies.count(f"reset-from:{source}", HOUR) <= FROM_ONE
    # An address that asks too much takes nobody's three.
    whose = account if within else source
    few = tallies.count(f"reset:{whose}", HOUR) <= TO_ONE
    person = User.objects.filter(email=email).first()
    actor = Actor("not signed in", source_address=address)
    if within:
        _tell(account, events("user.link_asked", person, actor))
    else:  # whatever it types
        _tell(source, events("user.link_asked", None, actor))
    wanted = within and few and person is not None
    uid = urlsafe_base64_encode(force_bytes(person.pk if person else 0))
    token = people.link_tokens.make_token(person or User(pk=0, email=email))
    link = settings.BASE_URL + reverse("set_password", args=[uid, token])
    sentences = [
        f"Somebody, most likely you, asked for a new password for {email} on Valohai Registries.",
        "Open this link to set one, within 3 days. It works once; if you didn't ask, do nothing.",
    ]
    mail = Mail("Set a new password", sentences, link, [email], "a new password")
    if wanted and person is not None and person.is_active:
        mails.send_later(mail)


def _tell(whose: str, found: list[AuditEvent]) -> None:
    repeats.record(("link_asked", whose), found, settings.SQLITE_TIMEOUT / 1000)


# --- another e-mail ---------------------------------------------------------------


def email_ask(*, person: User, email: str, actor: Actor) -> str:
    """Send a link to the address that somebody wants; gives the address as it is stored.

    Raises `Refused`. An address that has an account gets none, and that isn't told.
    """
    email = email.strip().lower()
    stored.require(User, email=email)
    if email == person.email:
        raise _refused("invalid", f"{email} is your e-mail already.", "Enter another one.")
    _may_ask(person)
    tell("user.email_asked", person, actor)
    if not User.objects.filter(email=email).exists():
        wants = f"{person.name} ({person.email}) wants to sign in to Valohai Registries by this "
        _send(person, email, wants + "address from now on.")
    return email


def own_email_ask(*, person: User, actor: Actor) -> None:
    """Send somebody a link that shows that the address they have is theirs; raises `Refused`."""
    _may_ask(person)
    tell("user.email_asked", person, actor)
    _send(person, person.email, f"{person.name} signs in to Valohai Registries by this address.")


def _may_ask(person: User) -> None:
    """Count one more mail; raises `Refused`."""
    if not mails.go_out():
        what = "This server sends no mail, so it can't ask whether the address is yours."
        # Whatever the address is.
        raise Refused(Problem("no_mail", what, "Ask staff to change it."))
    if tallies.count(f"email:{person.pk}", HOUR) > OWN:
        what = f"{OWN} mails were sent for you within an hour."
        raise _refused("too_many", what, "Wait an hour.")


def email_token(person: User, email: str) -> str:
    """What a link ends in that shows that an address is this person's."""
    return signing.dumps([person.pk, _standing(person), email], salt=_SALT)


def _send(person: User, email: str, why: str) -> None:
    link = settings.BASE_URL + reverse("email_confirm", args=[email_token(person, email)])
    sentences = [
        why,
        "If that is you, open this link within a day, signed in. Else do nothing.",
    ]
    about = f"the e-mail of user {person.pk}"
    mails.send_later(Mail("Is this your address?", sentences, link, [email], about))


def email_wanted(person: User, token: str) -> str | None:
    """The address that a link is for; None where it's no link of this person's, or is over."""
    try:
        key, before, email = signing.loads(token, salt=_SALT, max_age=LIFE)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return email if (key, before) == (person.pk, _standing(person)) else None


def _standing(person: User) -> str:
    """What ends the link where it changes: e-mail, password, all sessions ended."""
    value = f"{person.email}:{person.get_session_auth_hash()}"
    return salted_hmac("orgs.email_link", value, algorithm="sha256").hexdigest()[:32]


def email_change(*, person: User, token: str, actor: Actor) -> User:
    """Make the link's address the one they sign in by; raises `Refused`."""
    before, email = person.email, email_wanted(person, token)
    if email is None:
        raise _refused("invalid", "This link doesn't work any more.", "Ask for another.")
    try:
        with transaction.atomic():
            changed = people.person_update(
                person=person, actor=actor, email=email, email_verified=True
            )
    except (IntegrityError, Refused):  # somebody has it since
        raise _refused("invalid", f"{email} can't be used.", "Enter another one.") from None
    sentences = [
        f"You sign in to Valohai Registries as {email} from now on, not as {before} any more.",
        "If that wasn't you, tell the people who run this server.",
    ]
    about = f"the e-mail of user {person.pk}"
    if mails.go_out() and before != email:
        mails.send_later(Mail("Your e-mail changed", sentences, "/accounts/", [before], about))
    return changed


def _refused(code: str, what: str, fix: str) -> Refused:
    return Refused(Problem(code, what, fix, "email"))
